//! Waits for a handful of steps at once.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

/// One of them.
pub type Step<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// What all of them yield, in their order; the first failure ends the others.
///
/// # Errors
/// That failure.
pub async fn all<T, E>(mut steps: Vec<Step<'_, T, E>>) -> Result<Vec<T>, E> {
    let mut done: Vec<Option<T>> = steps.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (step, done) in steps.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            match step.as_mut().poll(cx) {
                Poll::Ready(Ok(value)) => *done = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(ms: u64, result: Result<u64, &'static str>) -> Step<'static, u64, &'static str> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            result
        })
    }

    #[tokio::test]
    async fn the_order_stays_and_the_first_failure_ends_all() {
        assert_eq!(all(vec![after(30, Ok(1)), after(10, Ok(2)), after(20, Ok(3))]).await, Ok(vec![1, 2, 3]));
        let never = Box::pin(std::future::pending());
        assert_eq!(all(vec![never, after(60_000, Err("late")), after(10, Err("first"))]).await, Err("first"));
        assert_eq!(all(Vec::<Step<'_, (), ()>>::new()).await, Ok(vec![]));
    }
}
