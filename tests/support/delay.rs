//! A long wire: a TCP proxy on loopback that hands every byte on, in order, half a round trip after it came.
//!
//! # Theory of operation
//! Each direction of a connection is a thread that reads and stamps, a queue, and a thread that writes what is due. The
//! queue holds what is on its way: more than any bandwidth of loopback times the delay, so that the wire is long, not
//! narrow. The far side is reached half a round trip after the near one, as a SYN would reach it. A cut wire keeps what
//! is on it, as TCP would by sending it again, and says nothing to either end.
//!
//! Everything that a test wants to know is counted here, where no clock is needed: a *turn* is a word of the near side
//! after it has heard something, so a conversation of n turns takes n round trips.
#![allow(dead_code, reason = "each program uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// What may be on its way, in each direction of a connection.
const IN_FLIGHT: usize = 128 << 20;
const READ: usize = 256 << 10;

/// A port that leads to another one, far away.
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

struct State {
    one_way: Duration,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    cut: bool,
    over: bool,
    /// Bytes a second in each direction of a connection, where it is also a narrow wire.
    speed: Option<u64>,
    /// The near side has heard something since it spoke last.
    heard: bool,
    turns: usize,
    up: u64,
    connections: Vec<(TcpStream, TcpStream)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    There,
    Back,
}

/// What is on its way in one direction of one connection.
#[derive(Default)]
struct Queue {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    parcels: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// The writer is gone: nobody will take anything any more.
    broken: bool,
}

impl Wire {
    /// A wire to a port on loopback.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(port: u16, round_trip: Duration) -> io::Result<Self> {
        Self::on(0, port, round_trip)
    }

    /// As [`Wire::to`], at a port of the caller's choice.
    ///
    /// # Errors
    /// That port is taken.
    pub fn on(mine: u16, port: u16, round_trip: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, mine))?;
        let mine = listener.local_addr()?.port();
        let state = Arc::new(State { one_way: round_trip / 2, inner: Mutex::default(), changed: Condvar::new() });
        let shared = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if shared.inner.lock().unwrap().over {
                    return;
                }
                let shared = shared.clone();
                thread::spawn(move || shared.connect(near, port));
            }
        });
        Ok(Self { port: mine, state })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From here on so many bytes pass each second, in each direction of a connection.
    pub fn narrow(&self, speed: u64) {
        self.state.inner.lock().unwrap().speed = Some(speed);
    }

    /// From here on nothing passes, in either direction, and nobody is told.
    pub fn cut(&self) {
        self.state.inner.lock().unwrap().cut = true;
    }

    /// What was held passes again.
    pub fn resume(&self) {
        self.state.inner.lock().unwrap().cut = false;
        self.state.changed.notify_all();
    }

    /// Ends all connections at once, as a router that lost its tables would.
    pub fn reset(&self) {
        for (near, far) in self.state.inner.lock().unwrap().connections.drain(..) {
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        }
    }

    /// How often the near side spoke after it had heard something: the round trips of a conversation.
    pub fn turns(&self) -> usize {
        self.state.inner.lock().unwrap().turns
    }

    /// Bytes that the near side sent.
    pub fn sent(&self) -> u64 {
        self.state.inner.lock().unwrap().up
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.inner.lock().unwrap().over = true;
        self.resume();
        self.reset();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn connect(self: Arc<Self>, near: TcpStream, port: u16) {
        thread::sleep(self.one_way);
        let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
        }
        let copies = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
        let (Some(kept), Some((a, b))) = (copies(), copies()) else { return };
        self.inner.lock().unwrap().connections.push(kept);
        self.clone().direction(Way::There, near, b);
        self.direction(Way::Back, far, a);
    }

    fn direction(self: Arc<Self>, way: Way, from: TcpStream, to: TcpStream) {
        let queue = Arc::new(Queue::default());
        let (state, filled) = (self.clone(), queue.clone());
        thread::spawn(move || state.read(way, from, &filled));
        thread::spawn(move || self.write(way, &queue, to));
    }

    fn read(&self, way: Way, mut from: TcpStream, queue: &Queue) {
        let mut buffer = vec![0; READ];
        loop {
            // An end travels as data does.
            let n = from.read(&mut buffer).unwrap_or(0);
            if way == Way::There && n > 0 {
                let mut inner = self.inner.lock().unwrap();
                inner.up += n as u64;
                inner.turns += usize::from(inner.heard);
                inner.heard = false;
            }
            let due = Instant::now() + self.one_way;
            let mut held = queue.held.lock().unwrap();
            while held.bytes > IN_FLIGHT && !held.broken {
                held = queue.changed.wait(held).unwrap();
            }
            if held.broken {
                return;
            }
            held.bytes += n;
            held.parcels.push_back((due, buffer[..n].to_vec()));
            queue.changed.notify_all();
            if n == 0 {
                return;
            }
        }
    }

    fn write(&self, way: Way, queue: &Queue, mut to: TcpStream) {
        let mut free = Instant::now();
        loop {
            let (due, parcel) = {
                let mut held = queue.held.lock().unwrap();
                loop {
                    if let Some(parcel) = held.parcels.pop_front() {
                        break parcel;
                    }
                    held = queue.changed.wait(held).unwrap();
                }
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let speed = self.inner.lock().unwrap().speed;
            if let Some(speed) = speed {
                free = free.max(Instant::now()) + Duration::from_secs(1).mul_f64(parcel.len() as f64 / speed as f64);
                thread::sleep(free.saturating_duration_since(Instant::now()));
            }
            {
                let mut inner = self.inner.lock().unwrap();
                while inner.cut {
                    inner = self.changed.wait(inner).unwrap();
                }
                inner.heard |= way == Way::Back && !parcel.is_empty();
            }
            let broken = if parcel.is_empty() {
                let _ = to.shutdown(Shutdown::Write);
                true
            } else {
                to.write_all(&parcel).is_err()
            };
            let mut held = queue.held.lock().unwrap();
            held.bytes -= parcel.len();
            held.broken = broken;
            queue.changed.notify_all();
            if broken {
                return;
            }
        }
    }
}
