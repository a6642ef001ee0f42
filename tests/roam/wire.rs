//! A TCP proxy whose wire can be cut.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread,
};

/// One port that leads to another one.
pub struct Wire {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: AtomicU16,
    /// New connections are closed at once.
    refuses: AtomicBool,
    present: Mutex<Vec<Arc<Line>>>,
}

struct Line {
    ends: [TcpStream; 2],
    /// What comes is dropped, and nobody hears of it.
    swallows: AtomicBool,
}

impl Wire {
    pub fn new(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { to: AtomicU16::new(to), refuses: AtomicBool::new(false), present: Mutex::default() });
        let all = shared.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if all.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, all.to.load(Ordering::SeqCst))) else {
                    continue;
                };
                let line = Arc::new(Line { ends: [near, far], swallows: AtomicBool::new(false) });
                for from in [0, 1] {
                    let _ = line.ends[from].set_nodelay(true);
                    let line = line.clone();
                    thread::spawn(move || line.pass(from));
                }
                all.present.lock().unwrap().push(line);
            }
        });
        Self { port, shared }
    }

    /// New connections lead elsewhere.
    pub fn lead_to(&self, port: u16) {
        self.shared.to.store(port, Ordering::SeqCst);
    }

    /// Without a FIN or a RST: neither end hears of it. New connections pass, unless they are refused.
    pub fn swallow(&self) {
        for line in self.shared.present.lock().unwrap().drain(..) {
            line.swallows.store(true, Ordering::SeqCst);
            // Kept open for as long as the test lasts.
            std::mem::forget(line);
        }
    }

    /// With a RST to both ends.
    pub fn reset(&self) {
        for line in self.shared.present.lock().unwrap().drain(..) {
            for end in &line.ends {
                let _ = socket2::SockRef::from(end).set_linger(Some(std::time::Duration::ZERO));
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    pub fn refuse(&self, refuse: bool) {
        self.shared.refuses.store(refuse, Ordering::SeqCst);
    }
}

impl Line {
    fn pass(&self, from: usize) {
        let mut buffer = [0; 16 << 10];
        loop {
            let count = (&self.ends[from]).read(&mut buffer).unwrap_or(0);
            if self.swallows.load(Ordering::SeqCst) {
                if count == 0 {
                    return;
                }
                continue;
            }
            if count == 0 {
                let _ = self.ends[1 - from].shutdown(Shutdown::Write);
                return;
            }
            if (&self.ends[1 - from]).write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }
}
