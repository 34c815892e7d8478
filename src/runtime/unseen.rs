//! LOOKS where a generation listens that its trapped calls have not told: calls of another architecture, io_uring, sockets that came
//! from elsewhere. UDP ports are not looked at. The kernel says which sockets listen, /proc whose they are. They cannot be handed over.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Supervisor, own_sockets::Listens, probing::Message};
use crate::{
    handover::{census, holders::Holders, listener::Place},
    machine::Role,
    settings::value::Ready,
};

/// The first pause between two looks, which grow, and the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// `__SO_ACCEPTCON` in /proc/net/unix: it listens.
const LISTENS: u32 = 0x1_0000;

const WHY: &str =
    "its bind and listen were not seen (calls of another architecture or by io_uring, or a socket from elsewhere)";

impl Supervisor {
    /// Looks at the generation that is not ready, or about to be replaced.
    pub(super) fn look_for_unseen_listeners(&mut self, generation: u64) {
        if !self.hears(generation) || self.front.is_some() {
            return;
        }
        let now = Instant::now();
        let ephemeral = |port: u16| {
            let calls = self.calls.as_ref();
            calls.is_some_and(|calls| calls.trapped.is_ephemeral(port))
        };
        let Some(it) = self.generations.get(&generation) else {
            return;
        };
        // Whoever asks for the status again and again learns no more.
        if it
            .looked_at
            .is_some_and(|at| now.saturating_duration_since(at) < FIRST_PAUSE / 2)
        {
            return;
        }
        let (is_seen, listens) = (!it.listens.is_empty(), &it.listens);
        let holds = Holders::among(self.program_processes(generation)).found;
        let known: Vec<u64> = self.sockets.held(None).into_iter().map(|it| it.inode).collect();
        let mut found = Vec::new();
        for it in census::listeners().unwrap_or_default() {
            let place = Place::single(it.address);
            // Of one that was seen to listen, a port of the kernel's choice is another one each time.
            let counts = holds.contains_key(&it.inode) && !known.contains(&it.inode);
            let told = is_seen && (ephemeral(it.address.port()) || listens.iter().any(|it| it.is_around(&place)));
            if counts && !told {
                found.push(Listens::Passed(place));
            }
        }
        if !is_seen {
            let unix = fs::read("/proc/self/net/unix").unwrap_or_default();
            let held = |inode: &u64| holds.contains_key(inode);
            found.extend(
                unix.split(|byte| *byte == b'\n')
                    .filter_map(|line| listening(line, held)),
            );
        }
        if let Some(it) = self.generations.get_mut(&generation) {
            it.looked_at = Some(now);
        }
        for listens in found {
            self.pass(generation, format!("{}: {WHY}", listens.text()));
            self.on_listens(generation, listens);
        }
    }

    /// The same, of the one that is to be ready, before its state is told.
    pub(super) fn look_at_who_is_not_ready(&mut self) {
        let starting = |it: &&crate::machine::Generation| it.listens_on_nothing();
        let starting = self.state.generations().iter().rev().find(starting);
        if let Some(generation) = starting.map(|it| it.number) {
            self.look_for_unseen_listeners(generation);
        }
    }

    /// Before a restart begins, so that it does not take a server for a worker.
    pub(super) fn look_before_restart(&mut self, generation: u64) {
        if let Some(it) = self.generations.get_mut(&generation) {
            it.looked_at = None;
        }
        self.look_for_unseen_listeners(generation);
    }

    /// Has it had its time to listen, and does it listen on nothing?
    pub(super) fn runs_and_listens_on_nothing(&self, it: &crate::machine::Generation) -> bool {
        let by_listening = matches!(self.settings.ready, Ready::Auto | Ready::Listening);
        let own = self.generations.get(&it.number);
        by_listening
            && self.front.is_none()
            && it.role == Role::Starting
            && it.since.elapsed() >= self.settings.stable_delay
            && own.is_some_and(|own| own.listens.is_empty() && own.living().is_some())
    }

    /// Once.
    pub(super) fn tell_who_listens_on_nothing(&mut self, generation: u64) {
        let this = self.state.generations().iter().find(|it| it.number == generation);
        if !this.is_some_and(|it| self.runs_and_listens_on_nothing(it)) {
            return;
        }
        if !std::mem::replace(&mut self.desk.told_of_nothing, true) {
            tracing::warn!(
                generation,
                remedy = "SEGUE_READY=started for a worker, which never will",
                "running, listens on nothing, so it is not ready"
            );
        }
    }
}

/// The name of a unix socket that listens and is held, from a line of /proc/net/unix: `num: refs protocol flags type state inode name`.
fn listening(line: &[u8], held: impl Fn(&u64) -> bool) -> Option<Listens> {
    let mut fields = line
        .split(|byte| *byte == b' ')
        .filter(|field| !field.is_empty())
        .skip(3);
    let text = |field: Option<&[u8]>| field.and_then(|field| std::str::from_utf8(field).ok().map(str::to_owned));
    let flags = u32::from_str_radix(&text(fields.next())?, 16).ok()?;
    let inode = text(fields.nth(2))?.parse().ok()?;
    let name = fields.next().unwrap_or_default();
    (flags & LISTENS != 0 && held(&inode)).then(|| Listens::Unix(name.to_vec()))
}

/// Asks for looks as long as the program is not ready: often at first, and once when it has had its time to listen.
pub(super) async fn look_again_and_again(generation: u64, time: Duration, sender: mpsc::UnboundedSender<Message>) {
    let (begin, mut pause, mut told) = (Instant::now(), FIRST_PAUSE, false);
    loop {
        let left = time.saturating_sub(begin.elapsed());
        tokio::time::sleep(if told { pause } else { pause.min(left) }).await;
        told |= begin.elapsed() >= time;
        // The loop outlives its tasks.
        sender.send(Message::Look(generation)).ok();
        pause = LAST_PAUSE.min(pause * 3 / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_of_unix_sockets() {
        let listens = b"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a.sock";
        let accepted = b"0000000000000000: 00000003 00000000 00000000 0001 03 12345 /run/a.sock";
        let held = |inode: &u64| *inode == 12345;
        assert_eq!(listening(listens, held), Some(Listens::Unix(b"/run/a.sock".to_vec())));
        for line in [
            &accepted[..],
            b"Num       RefCount Protocol Flags    Type St Inode Path",
            b"",
        ] {
            assert_eq!(listening(line, held), None);
        }
        assert_eq!(listening(listens, |_| false), None);
    }
}
