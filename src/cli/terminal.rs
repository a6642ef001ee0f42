//! Asking on the terminal.
//!
//! # Theory of operation
//! The terminal edits the line itself and hands it over whole; for a secret it only stops showing what is typed. Reading
//! waits for no longer than a moment at a time, so that a question ends when nobody wants its answer any more or a signal
//! came. What the terminal was like before is put back in every case: by the one who asked, or by [`restore`] at the end
//! of the program. What was half typed by then is thrown away; it must not end up in the shell.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::AsFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

use crate::{scope::Question, vocab::text::printable};

/// How soon a question notices that it is over, in milliseconds.
const MOMENT: u16 = 50;
/// What the terminal keeps of a line.
const LINE_LIMIT: usize = 4096;

/// The terminal while it shows nothing, and what it was like before.
static SILENT: Mutex<Option<(File, Termios)>> = Mutex::new(None);
/// A signal came: nothing is asked any more.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Puts a question and waits for the answer, which ends with the line.
///
/// # Errors
/// There is no terminal, the input ended, a signal came, or nobody wants the answer any more.
pub fn ask(question: &Question) -> io::Result<String> {
    let mut tty = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    // Before the question: who answers at once is not shown, and not thrown away as typed ahead.
    let silence = question.secret.then(|| silence(&tty)).transpose()?;
    tty.write_all(printable(&question.text).as_bytes())?;
    let answer = read_line(&mut tty, question);
    if silence.is_some() || answer.is_err() {
        // The line's end was not shown, or never came.
        let _ = tty.write_all(b"\n");
    }
    answer
}

/// Ends the question at hand and every later one.
pub fn stop_asking() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether a signal ended the questions.
pub fn was_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Puts the terminal back to what it was, if a question was cut short.
pub fn restore() {
    let silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((tty, before)) = silent {
        let _ = tcsetattr(tty, SetArg::TCSAFLUSH, &before);
    }
}

/// The terminal shows nothing until this is dropped.
struct Silence;

impl Drop for Silence {
    fn drop(&mut self) {
        restore();
    }
}

fn silence(tty: &File) -> io::Result<Silence> {
    let before = tcgetattr(tty)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
    silent.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG);
    // A program that is stopped, or killed with a core, would leave the terminal silent.
    for key in [SpecialCharacterIndices::VSUSP, SpecialCharacterIndices::VQUIT] {
        silent.control_chars[key as usize] = DISABLED;
    }
    *SILENT.lock().unwrap_or_else(PoisonError::into_inner) = Some((tty.try_clone()?, before));
    let silence = Silence;
    tcsetattr(tty, SetArg::TCSAFLUSH, &silent)?;
    Ok(silence)
}

/// `_POSIX_VDISABLE`.
#[cfg(target_os = "linux")]
const DISABLED: u8 = 0;
#[cfg(not(target_os = "linux"))]
const DISABLED: u8 = 0xff;

fn read_line(tty: &mut File, question: &Question) -> io::Result<String> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_LIMIT));
    let mut buffer = Zeroizing::new([0u8; 256]);
    loop {
        if was_interrupted() || question.is_withdrawn() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the question was withdrawn"));
        }
        let mut fds = [PollFd::new(tty.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(MOMENT)) {
            Ok(0) | Err(nix::Error::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let read = match tty.read(&mut buffer[..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let ended = buffer[..read].contains(&b'\n');
        if line.len() + read > LINE_LIMIT {
            return Err(io::Error::other("the answer is too long"));
        }
        line.extend_from_slice(&buffer[..read]);
        if ended || read == 0 {
            break;
        }
    }
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::Error::other("the answer is not UTF-8"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    Ok(if question.secret { text.to_owned() } else { text.trim().to_owned() })
}
