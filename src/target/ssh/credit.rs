//! How much of what a program was given it has not taken yet, as far as its host tells.
//!
//! # Theory of operation
//! OpenSSH's server takes in all that its window allows, 2 MB, while a program's pipe takes 64 KB at a time; every packet
//! enlarges the buffer that keeps the rest, and moves it. On a wire that is as good as none most of its time can go there,
//! so little is given ahead. What a program has taken shows when the host enlarges its window (RFC 4254, section 5.2): the
//! largest that it ever was is that of a program that has taken all, because the first word comes when hardly more was
//! given than what it is about. A host need not tell before its window is used up: one that does not is given all.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// Bytes that may be given before the first word: OpenSSH's comes after three packets of 32 KiB.
const FIRST: u64 = 128 << 10;
/// Bytes that may be given ahead of what was taken.
const AHEAD: u64 = 384 << 10;
/// How long a host may take to tell.
const PATIENCE: Duration = Duration::from_millis(50);

/// What was given, and what the host told of it.
#[derive(Debug, Default)]
pub struct Credit {
    account: Mutex<Account>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Account {
    given: u64,
    /// When the host last told: what was given by then, and what of it was left.
    given_then: u64,
    left_then: u64,
    /// The largest window, 0 before the first word.
    most: u32,
}

impl Credit {
    /// The host has enlarged its window, to `window` bytes from what was sent on.
    pub fn told(&self, window: u32) {
        let mut account = self.account();
        account.most = account.most.max(window);
        account.left_then = u64::from(account.most - window);
        account.given_then = account.given;
        drop(account);
        self.told.notify_one();
    }

    /// Waits until so many may be given, and counts them; `false` when the host does not tell.
    pub async fn take(&self, bytes: u64) -> bool {
        while !self.account().admits(bytes) {
            if timeout(PATIENCE, self.told.notified()).await.is_err() {
                return false;
            }
        }
        true
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn admits(&mut self, bytes: u64) -> bool {
        let left = self.left_then + (self.given - self.given_then);
        let admits = left < if self.most == 0 { FIRST } else { AHEAD };
        self.given += if admits { bytes } else { 0 };
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = 2 << 20;
    const PACKET: u64 = 32 << 10;

    /// As OpenSSH: tells when three packets were taken.
    async fn give(credit: &Credit, packets: u64) -> u64 {
        let (mut given, mut taken) = (0, 0);
        let mut most = 0;
        for _ in 0..packets {
            while tokio::select! { biased; told = credit.take(PACKET) => !told, () = std::future::ready(()) => true } {
                taken += 3 * PACKET;
                credit.told(WINDOW - u32::try_from(given - taken).unwrap());
            }
            given += PACKET;
            most = most.max(given - taken);
        }
        most
    }

    #[tokio::test(start_paused = true)]
    async fn little_is_given_ahead_of_what_is_taken() {
        let most = give(&Credit::default(), 1000).await;
        assert!((AHEAD..=AHEAD + FIRST).contains(&most), "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_tell_is_not_waited_for_again_and_again() {
        let credit = Credit::default();
        for _ in 0..FIRST / PACKET {
            assert!(credit.take(PACKET).await);
        }
        assert!(!credit.take(PACKET).await);
        // One that tells late: from then on it is known what it has.
        credit.told(WINDOW);
        assert!(credit.take(PACKET).await);
    }
}
