//! FINDS connections that a process serves and does nothing else for: a server that forks for each (sshd, an FTP server, socat).
//! Such a process outlives the stop of its parent, and an idle connection of it is a session, which nobody opens again by itself.

use std::{collections::HashSet, time::Duration};

use super::Supervisor;
use crate::{
    handover::{
        census::{self, Census},
        open_files,
    },
    process::tree,
};

impl Supervisor {
    /// Is a session under way that was not quiet for as long as a drain may take? After that time it is cut as any other.
    pub(super) fn has_sessions(&mut self, generation: u64, census: &Census) -> bool {
        let known = self.generations.get(&generation).and_then(|it| it.sessions.clone());
        let sessions = known.unwrap_or_else(|| {
            let sessions = self.sessions(generation, census);
            if let Some(it) = self.generations.get_mut(&generation) {
                it.sessions = Some(sessions.clone());
            }
            sessions
        });
        let quiet_for_long = self.settings.drain_timeout().unwrap_or(Duration::MAX);
        let of_it = census.connections.iter().filter(|it| sessions.contains(&it.cookie));
        !self.is_last_part(generation) && of_it.into_iter().any(|it| it.is_busy(quiet_for_long))
    }

    /// Are there connections that could be one? While nobody else serves, nobody is kept waiting for their sake.
    pub(super) fn may_have_sessions(&self, generation: u64) -> bool {
        let known = self.generations.get(&generation).and_then(|it| it.sessions.as_ref());
        let another_one_serves = self.state.current().is_some_and(|current| current != generation);
        another_one_serves && known.is_none_or(|sessions| !sessions.is_empty())
    }

    /// The connections of processes that began after their generation was ready, have none but this one, and listen nowhere.
    fn sessions(&self, generation: u64, census: &Census) -> HashSet<u64> {
        let main = self
            .generations
            .get(&generation)
            .and_then(|it| Some(it.living()?.pid.as_raw()));
        let others = self.program_processes(generation).into_iter();
        let others: Vec<i32> = others.filter(|pid| Some(*pid) != main).collect();
        if others.is_empty() {
            return HashSet::new();
        }
        let listeners = census::listeners().unwrap_or_default();
        let listeners: HashSet<u64> = listeners.into_iter().map(|it| it.inode).collect();
        let cookie = |inode: &u64| {
            census
                .connections
                .iter()
                .find(|it| it.inode == *inode)
                .map(|it| it.cookie)
        };
        let ready = self.generations.get(&generation).and_then(|it| it.ready_at);
        let young = |pid: &i32| {
            tree::process(*pid)
                .zip(ready)
                .is_some_and(|(it, ready)| it.began >= ready)
        };
        let mut sessions = HashSet::new();
        for pid in others.into_iter().filter(young) {
            let held: HashSet<u64> = open_files::sockets(pid)
                .unwrap_or_default()
                .into_iter()
                .map(|it| it.1)
                .collect();
            if held.is_disjoint(&listeners)
                && let [only] = held.iter().filter_map(cookie).collect::<Vec<_>>()[..]
            {
                sessions.insert(only);
            }
        }
        sessions
    }
}
