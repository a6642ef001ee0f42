//! A long wire for scripts: `delay MILLISECONDS PORT…` prints a port for each port that it leads to, a line each, and
//! carries until its stdin ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for scripts")]

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::Duration,
};

#[path = "delay.rs"]
mod delay;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let round_trip = arguments.next().and_then(|word| word.parse().ok()).map(Duration::from_millis);
    let ports: Result<Vec<u16>, _> = arguments.map(|word| word.parse()).collect();
    let (Some(round_trip), Ok(ports)) = (round_trip, ports) else {
        eprintln!("usage: delay MILLISECONDS-OF-A-ROUND-TRIP PORT…");
        return ExitCode::from(2);
    };
    let wires: io::Result<Vec<_>> = ports.iter().map(|&port| delay::Wire::to(port, round_trip)).collect();
    let wires = match wires {
        Ok(wires) => wires,
        Err(error) => {
            eprintln!("delay: {error}");
            return ExitCode::FAILURE;
        }
    };
    for wire in &wires {
        println!("{}", wire.port());
    }
    let _ = io::stdout().flush();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
