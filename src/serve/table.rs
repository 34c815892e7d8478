//! REMEMBERS which connections are open and in what state, and picks the one that makes way for another. It never closes
//! one that is being answered.

use std::collections::HashMap;

use tokio::{
    sync::watch,
    task::{AbortHandle, Id},
};

use super::state::{Progress, State};

/// All connections, by the task that serves them.
#[derive(Debug)]
pub(super) struct Table {
    open: HashMap<Id, Open>,
    most: usize,
    next: u64,
}

#[derive(Debug)]
struct Open {
    /// Counted from 1, in the order in which they came.
    id: u64,
    state: watch::Receiver<Progress>,
    task: AbortHandle,
}

impl Table {
    pub(super) fn new(most: usize) -> Table {
        Table {
            open: HashMap::new(),
            most,
            next: 1,
        }
    }

    /// May another come? `tasks` are those that have not ended: evicted ones are among them until they are closed, and
    /// there is never more than one of these.
    pub(super) fn has_room(&self, tasks: usize) -> bool {
        self.open.len() < self.most || (tasks <= self.most && self.oldest_evictable().is_some())
    }

    /// One more.
    pub(super) fn opened(&mut self, task: AbortHandle, state: watch::Receiver<Progress>) -> u64 {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        self.open.insert(task.id(), Open { id, state, task });
        id
    }

    /// One less.
    pub(super) fn closed(&mut self, task: Id) {
        self.open.remove(&task);
    }

    /// Evicts one if there are too many for another.
    pub(super) fn make_room(&mut self) -> Option<(u64, State)> {
        if self.open.len() < self.most {
            return None;
        }
        self.evict()
    }

    /// Closes the oldest that no request is answered on.
    pub(super) fn evict(&mut self) -> Option<(u64, State)> {
        let evicted = self.open.remove(&self.oldest_evictable()?)?;
        evicted.task.abort();
        Some((evicted.id, evicted.state.borrow().state))
    }

    fn oldest_evictable(&self) -> Option<Id> {
        let evictable = self
            .open
            .iter()
            .filter(|(_, it)| it.state.borrow().state.is_evictable());
        evictable.min_by_key(|(_, it)| it.id).map(|(task, _)| *task)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::state::{Event, Progress, State, Teller, tell},
        Table,
    };

    fn open(table: &mut Table) -> (u64, Teller) {
        let (teller, state) = Progress::new();
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        (table.opened(task, state), teller)
    }

    #[tokio::test]
    async fn the_oldest_that_is_not_answered_makes_way() {
        let mut table = Table::new(3);
        let (_, first) = open(&mut table);
        let (second, _second) = open(&mut table);
        assert!(table.has_room(2));
        assert_eq!(table.make_room(), None);
        let (_, third) = open(&mut table);
        tell(&first, Event::Begun);
        assert_eq!(table.make_room(), Some((second, State::New)));
        assert!(table.has_room(3));
        let (_, fourth) = open(&mut table);
        tell(&third, Event::Begun);
        tell(&fourth, Event::Begun);
        assert!(!table.has_room(3), "all are answered");
        tell(&third, Event::Written);
        tell(&third, Event::Sent);
        assert!(table.has_room(3) && !table.has_room(4));
        assert_eq!(table.make_room(), Some((3, State::Idle)));
    }
}
