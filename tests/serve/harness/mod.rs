//! Puts a load on a line of generations of one server, drains one after the other, and tells what came of it. Used by the
//! tests and by `examples/drains.rs`.

mod http1;
mod kinds;
mod line;
mod loads;
pub mod on_the_way;
mod routes;
mod tally;
mod websocket;

use std::time::Duration;

pub use self::{
    kinds::{Kind, Pace},
    line::{Ended, Line},
    loads::Load,
    tally::{Counts, Failure},
};

/// Longer than anything takes that is waited for, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a load and of the drains under it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    pub drains: Vec<Ended>,
}

impl Outcome {
    /// Takes those of another round for its own.
    pub fn add(&mut self, more: Outcome) {
        self.counts.add(&more.counts);
        self.drains.extend(more.drains);
    }

    /// How long the drains took, the shortest first.
    pub fn times(&self) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.drains.iter().map(|ended| ended.took).collect();
        times.sort_unstable();
        times
    }
}

/// This load, through so many drains.
pub async fn through(kind: Kind, load: Load, drains: usize) -> Outcome {
    if load == Load::OnTheWay {
        return on_the_way::through(kind, drains).await;
    }
    let mut line = Line::start(kind).await;
    let running = load.start(line.address());
    let mut ended = Vec::new();
    for _ in 0..drains {
        line.serving().answered(load.enough()).await;
        ended.push(line.replace().await);
    }
    line.serving().answered(load.enough()).await;
    let counts = running.stop().await;
    line.end().await;
    Outcome { counts, drains: ended }
}
