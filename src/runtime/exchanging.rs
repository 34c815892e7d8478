//! EXCHANGES a program's socket at its bind for one of segue's, where no copy of it can be had: only if no process could tell the one
//! from the other. Else the bind passes.

use std::{
    io,
    os::fd::{AsFd, OwnedFd, RawFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt},
        stat::fstat,
    },
};

use super::Supervisor;
use crate::handover::{
    exchange,
    facts::Facts,
    holders::Holders,
    listener::{self, Sharing},
    options,
    sockets::Bind,
    trapped::{
        Known, Replacement, Verdict,
        address::{self, Family},
    },
};

impl Supervisor {
    /// Before a bind of a socket of which there is no copy; an error says why it passes.
    pub(super) fn exchange_at_bind(
        &mut self,
        generation: u64,
        (process, file): (i32, RawFd),
        inode: u64,
        bytes: &[u8],
        known: Option<Known>,
    ) -> Result<Verdict, String> {
        let known = known.ok_or("not all is known of its socket")?;
        let Some(address) = address::parse(known.family, bytes) else {
            return Ok(Verdict::Pass);
        };
        let recorded = known.recorded.options();
        let recorded = recorded.ok_or("an option of its socket cannot be set on another")?;
        if address.port() < unprivileged_ports() && !known.may_bind {
            return Ok(Verdict::Pass);
        }
        if known.flags.contains(OFlag::O_ASYNC) {
            return Err("its socket signals readiness (O_ASYNC)".into());
        }
        if self.sockets.knows(inode) || self.bound.inodes().contains(&inode) || is_connected(inode) {
            return Ok(Verdict::Pass);
        }
        let others = self.program_processes(generation);
        self.let_go_of_bound(&others);
        exchange::is_invisible(process, file, inode, others).map_err(|in_the_way| in_the_way.why().to_owned())?;
        let made = crate::process::user::owned_by(known.user, || {
            let family = match known.family {
                Family::Four => AddressFamily::Inet,
                Family::Six => AddressFamily::Inet6,
            };
            Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)
        });
        let made = made.map_err(|error| error.to_string())?;
        for option in recorded {
            options::repeat(made.as_fd(), option);
        }
        let flags = known.flags & OFlag::O_NONBLOCK;
        fcntl(&made, FcntlArg::F_SETFL(flags)).map_err(|error| error.to_string())?;
        let facts = Facts::of(&made).map_err(|error| error.to_string())?;
        let facts = facts.ok_or("it is no TCP socket")?;
        let place = facts.place(address);
        self.let_go_of_closed(generation, &place);
        let shares = known.recorded.shares();
        let sharing = match self.sockets.on_bind(generation, &place, shares) {
            Bind::InUse { .. } => return Ok(Verdict::Return(Err(libc::EADDRINUSE))),
            Bind::Shared { user } if user != facts.user => return Ok(Verdict::Pass),
            Bind::Shared { .. } if !shares => {
                setsockopt(&made, sockopt::ReusePort, &true).map_err(|error| error.to_string())?;
                self.note_opened(generation, facts.inode);
                Sharing::Allowed
            }
            Bind::Shared { .. } => Sharing::Allowed,
            Bind::Alone => Sharing::Never,
        };
        let bound = match listener::bound(made, &place, sharing) {
            Ok(bound) => bound,
            Err(error) => return Ok(Verdict::Return(Err(error.raw_os_error().unwrap_or(libc::EINVAL)))),
        };
        let close_on_exec = known.flags.contains(OFlag::O_CLOEXEC);
        let given = self.keep_bound(&bound).map(|()| bound);
        given
            .map(|bound| {
                Verdict::Replace(Replacement {
                    socket: bound,
                    close_on_exec,
                    calls: false,
                })
            })
            .map_err(|error| error.to_string())
    }

    /// Sockets that were bound and closed again keep nobody from their address.
    fn let_go_of_bound(&mut self, processes: &[i32]) {
        let inodes = self.bound.inodes();
        if inodes.is_empty() {
            return;
        }
        let held = Holders::among(processes.iter().copied()).found;
        for inode in inodes.into_iter().filter(|inode| !held.contains_key(inode)) {
            drop(self.bound.take(inode));
        }
    }

    fn keep_bound(&mut self, socket: &OwnedFd) -> io::Result<()> {
        self.bound.keep(fstat(socket)?.st_ino, socket.try_clone()?)
    }
}

/// Is the socket with this inode one end of a connection, or a listener? (Such a bind is an error of the kernel's to tell.)
fn is_connected(inode: u64) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let text = std::fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        let mut inodes = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(9)?.parse::<u64>().ok());
        inodes.any(|found| found == inode)
    })
}

fn unprivileged_ports() -> u16 {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    first.ok().and_then(|it| it.trim().parse().ok()).unwrap_or(1024)
}
