//! REMEMBERS which connections are open, and picks the one that makes way for another. It never closes one that is being
//! answered.

use std::{collections::HashMap, sync::Arc};

use tokio::task::{AbortHandle, Id};

use super::{
    life::{Life, Open},
    state::Stage,
};

/// All connections, by the task that serves them.
#[derive(Debug)]
pub(super) struct Table {
    open: HashMap<Id, (Arc<Life>, AbortHandle)>,
    most: usize,
}

impl Table {
    pub(super) fn new(most: usize) -> Table {
        Table {
            open: HashMap::new(),
            most,
        }
    }

    /// Are there as many as may be?
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= self.most
    }

    /// May another come? `tasks` are those that have not ended: evicted ones are among them until they are closed, and
    /// there is never more than one of these.
    pub(super) fn has_room(&self, tasks: usize) -> bool {
        !self.is_full() || (tasks <= self.most && self.oldest_evictable().is_some())
    }

    /// One more.
    pub(super) fn opened(&mut self, task: AbortHandle, life: Arc<Life>) {
        self.open.insert(task.id(), (life, task));
    }

    /// One less.
    pub(super) fn closed(&mut self, task: Id) {
        self.open.remove(&task);
    }

    /// Evicts one if there are too many for another.
    pub(super) fn make_room(&mut self) -> Option<u64> {
        if self.is_full() { self.evict() } else { None }
    }

    /// Closes the oldest that no request is answered on.
    pub(super) fn evict(&mut self) -> Option<u64> {
        let (life, task) = self.open.remove(&self.oldest_evictable()?)?;
        task.abort();
        Some(life.id)
    }

    /// All of them, in the order in which they came.
    pub(super) fn list(&self) -> Vec<Open> {
        let mut list: Vec<Open> = self.open.values().map(|(life, _)| life.open()).collect();
        list.sort_unstable_by_key(|open| open.id);
        list
    }

    fn oldest_evictable(&self) -> Option<Id> {
        let evictable = self
            .open
            .iter()
            .filter(|(_, (life, _))| Stage::is_evictable(life.stage()));
        evictable.min_by_key(|(_, (life, _))| life.id).map(|(task, _)| *task)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{
            hub::Hub,
            life::Life,
            state::{Event, State},
        },
        Table,
    };

    fn open(table: &mut Table, hub: &Arc<Hub>) -> Arc<Life> {
        let life = Life::new(hub, None);
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        table.opened(task, Arc::clone(&life));
        life
    }

    #[tokio::test]
    async fn the_oldest_that_is_not_answered_makes_way() {
        let (mut table, hub) = (Table::new(3), Arc::default());
        let first = open(&mut table, &hub);
        let second = open(&mut table, &hub);
        assert!(table.has_room(2));
        assert_eq!(table.make_room(), None);
        let third = open(&mut table, &hub);
        first.begin();
        assert_eq!(table.make_room(), Some(second.id));
        assert!(table.has_room(3));
        let fourth = open(&mut table, &hub);
        third.begin();
        fourth.begin();
        assert!(!table.has_room(3), "all are answered");
        third.tell(Event::Written);
        third.tell(Event::Sent);
        assert!(table.has_room(3) && !table.has_room(4));
        let states: Vec<(u64, State)> = table.list().iter().map(|it| (it.id, it.state)).collect();
        assert_eq!(states, [(1, State::Active), (3, State::Idle), (4, State::Active)]);
        assert_eq!(table.make_room(), Some(third.id));
    }

    #[tokio::test]
    async fn the_counts_are_those_of_the_lives() {
        let (mut table, hub) = (Table::new(9), Arc::default());
        let lives: Vec<_> = (0..4).map(|_| open(&mut table, &hub)).collect();
        lives[1].begin();
        lives[2].begin();
        lives[2].tell(Event::Upgraded);
        lives[3].tell(Event::Closed);
        let counts = hub.counts();
        assert_eq!((counts.new, counts.active, counts.idle, counts.hijacked), (1, 1, 0, 1));
        assert_eq!((counts.open(), counts.accepted, counts.requests), (3, 4, 2));
    }
}
