//! How far a build is, as the common builders say it.

/// Steps that are done, of all or as a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    pub done: u64,
    pub total: u64,
}

/// Reads the progress at the start of a line: `[12/206]` as ninja says it, `[ 12%]` as make by cmake does.
///
/// For the eye only: a build may print what it likes.
pub fn steps_of(line: &str) -> Option<Steps> {
    let (inside, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let number = |text: &str| {
        let text = text.trim();
        let digits = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let (done, total) = match inside.split_once('/') {
        Some((done, total)) => (number(done)?, number(total)?),
        None => (number(inside.strip_suffix('%')?)?, 100),
    };
    (total > 0 && done <= total).then_some(Steps { done, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninja_and_make_are_understood_and_nothing_else_is() {
        assert_eq!(steps_of("[12/206] Building CXX object x.o"), Some(Steps { done: 12, total: 206 }));
        assert_eq!(steps_of("[  3%] Building"), Some(Steps { done: 3, total: 100 }));
        assert_eq!(steps_of("[100%] Built target x"), Some(Steps { done: 100, total: 100 }));
        for line in
            ["", "[DONE]", "[", "[1/0] x", "[7/3] x", "[-1/3]", "[1/99999999999999999999]", "x [1/2]", "[é%]", "[+1/2]"]
        {
            assert_eq!(steps_of(line), None, "{line}");
        }
    }
}
