//! Ctrl+C and its relatives.

use tokio::signal::unix::{SignalKind, signal};

use super::{tell, terminal};
use crate::{
    scope::{Cancel, CancelReason, Scope},
    vocab::{ExitCode, Level},
};

/// Turns signals into the run's cancel: the first asks, the second skips the grace, the third leaves at once.
///
/// # Errors
/// The system refuses handlers.
pub fn listen(scope: Scope) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        for nth in 1.. {
            let reason = tokio::select! {
                _ = interrupt.recv() => CancelReason::Interrupt,
                _ = terminate.recv() => CancelReason::Terminate,
                _ = hangup.recv() => CancelReason::Terminate,
            };
            act(&scope, scope.cancel(), reason, nth);
        }
    }))
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
