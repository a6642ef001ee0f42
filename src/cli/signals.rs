//! Ctrl+C and its relatives.

use std::{os::fd::AsFd, time::Duration};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::signal::unix::{SignalKind, signal};

use super::{tell, terminal};
use crate::{
    scope::{Cancel, CancelReason, Scope},
    vocab::{ExitCode, Level},
};

/// Between two looks whether there is somebody who reads.
const LOOK: Duration = Duration::from_millis(500);

/// Turns signals into the run's cancel: the first asks, the second skips the grace, the third leaves at once. For a run
/// whose output is all that it is `for_its_output`, the end of whoever reads that is the first one.
///
/// # Errors
/// The system refuses handlers.
pub fn listen(scope: Scope, for_its_output: bool) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        for nth in 1.. {
            let reason = tokio::select! {
                () = unread(), if for_its_output && nth == 1 => CancelReason::Unread,
                _ = interrupt.recv() => CancelReason::Interrupt,
                _ = terminate.recv() => CancelReason::Terminate,
                _ = hangup.recv() => CancelReason::Terminate,
            };
            act(&scope, scope.cancel(), reason, nth);
        }
    }))
}

/// Until stdout is a pipe without a reader. SIGPIPE would say so only to who writes, and is not for a program that
/// has hosts to clean up.
async fn unread() {
    let out = std::io::stdout();
    loop {
        tokio::time::sleep(LOOK).await;
        let mut look = [PollFd::new(out.as_fd(), PollFlags::empty())];
        if poll(&mut look, PollTimeout::ZERO).is_ok()
            && look[0].revents().is_some_and(|is| is.contains(PollFlags::POLLERR))
        {
            return;
        }
    }
}

fn act(scope: &Scope, cancel: &Cancel, reason: CancelReason, nth: u32) {
    terminal::stop_asking();
    match nth {
        1 => {
            scope.notice(
                Level::Warning,
                format!("{}: ending everything on all hosts", reason.as_str()),
                Some("once more skips the grace".into()),
            );
            cancel.ask(reason);
        }
        2 => {
            scope.notice(Level::Warning, "ending without grace", Some("once more leaves without looking".into()));
            cancel.ask(reason);
            cancel.harden();
        }
        _ => {
            tell("rbee: left without looking; hosts end what is left by themselves within the lease\n");
            terminal::restore();
            std::process::exit(i32::from(ExitCode::Unconfirmed.code()));
        }
    }
}
