//! For who develops segue: what the census says of the ports given as arguments, and how long it took to say.
#![expect(clippy::print_stdout, reason = "a tool that prints")]

use std::{collections::BTreeSet, io, time::Duration, time::Instant};

use segue::handover::census;

fn main() -> io::Result<()> {
    let ports: BTreeSet<u16> = std::env::args().skip(1).filter_map(|port| port.parse().ok()).collect();
    let (begin, idle) = (Instant::now(), Duration::from_secs(1));
    let census = census::connections(&ports)?;
    let took = begin.elapsed();
    let busy = census.connections.iter().filter(|it| it.is_busy(idle)).count();
    let waiting = census.connections.iter().filter(|it| it.inode == 0).count();
    println!("connections   {} in {took:?}", census.connections.len());
    println!("tells idle    {}", census.tells_idle);
    println!("busy          {busy} (idle after {idle:?})");
    println!("not accepted  {waiting}");
    println!("half open     {}", census.half_open.len());
    let begin = Instant::now();
    println!("listeners     {} in {:?}", census::listeners()?.len(), begin.elapsed());
    Ok(())
}
