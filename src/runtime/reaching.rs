//! DIRECTS the connections of a readiness probe, segue's own or a command's (`SEGUE_READY=exec:…`), to the generation that it is made
//! for. To any other address a command connects as it would without segue.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{SockaddrStorage, UnixAddr, bind, connect, getsockname},
    unistd::geteuid,
};
use tokio::sync::mpsc;

use super::{Supervisor, trapping::Calls};
use crate::{
    handover::{
        paths::{Target, Way},
        trapped::{
            self, Trapped,
            address::{self, Family},
            filter::{self, NATIVE},
        },
    },
    process::trap::{self, Installed, Trap},
    readiness::probe::{Door, Knock},
    settings::value::Command,
};

/// The filter for readiness commands.
#[derive(Debug, Default)]
pub(super) enum Reaching {
    /// There was no need of one yet.
    #[default]
    Unknown,
    By(Vec<libc::sock_filter>),
    /// It cannot be had, and the log says why.
    Refused,
}

impl Supervisor {
    /// Before a readiness command is started: makes what directs its connections, if there is another generation that they could
    /// come to.
    pub(super) fn prepare_to_reach(&mut self, generation: u64, command: &Command) {
        let others = generation > 1 && (self.trapping.is_on() || !self.sockets.is_empty());
        if !others || !matches!(self.reaching, Reaching::Unknown) {
            return;
        }
        // The filter may need no_new_privs, which the program has then, too. To root, set-user-id bits give nothing.
        if !self.trapping.is_on() && !geteuid().is_root() {
            let program = command.words.first().map_or("", String::as_str);
            let why = format!("it would take privileges from what {program} may run (no_new_privs)");
            return self.refuse_to_reach(&why);
        }
        match self.filter_of_connects() {
            Ok(filter) => self.reaching = Reaching::By(filter),
            Err(why) => self.refuse_to_reach(&why),
        }
    }

    fn filter_of_connects(&mut self) -> Result<Vec<libc::sock_filter>, String> {
        let calls = NATIVE.ok_or("this is made for x86-64 and aarch64")?;
        trap::check_kernel()?;
        if self.calls.is_none() {
            let (sender, heard) = mpsc::unbounded_channel();
            let trapped = Trapped::new(trapped::cookie(), false, sender).map_err(|error| error.to_string())?;
            self.calls = Some(Calls { trapped, heard });
        }
        let cookie = self.calls.as_ref().map_or(0, |calls| calls.trapped.cookie());
        Ok(filter::connects(calls, cookie))
    }

    fn refuse_to_reach(&mut self, why: &str) {
        if matches!(self.reaching, Reaching::Refused) {
            return;
        }
        self.reaching = Reaching::Refused;
        tracing::warn!(
            why,
            remedy = "SEGUE_READY=tcp:ADDRESS or http:URL, which ask the new generation",
            "connections of the readiness command may be answered by the generation that is to be replaced"
        );
    }

    pub(super) fn trap_connects(&self, generation: u64) -> Option<Trap<'_>> {
        match &self.reaching {
            Reaching::By(filter) if generation > 1 => Some(Trap {
                filter,
                required: false,
            }),
            Reaching::By(_) | Reaching::Unknown | Reaching::Refused => None,
        }
    }

    /// A readiness command was executed: its connects are answered from now on.
    pub(super) fn begin_to_reach(&mut self, generation: u64) {
        let channel = self
            .generations
            .get_mut(&generation)
            .and_then(|it| it.probe_channel.take());
        let Some(channel) = channel else { return };
        let added = match (trap::outcome(&channel), &mut self.calls) {
            (Some(Installed::Yes { notifications, .. }), Some(calls)) => {
                calls.trapped.add_command(generation, notifications)
            }
            (Some(Installed::No { errno }), _) => return self.refuse_to_reach(&trap::refusal(errno)),
            (Some(Installed::Yes { .. }) | None, _) => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = added {
            self.refuse_to_reach(&format!("its calls cannot be answered: {error}"));
        }
    }

    /// A probe of segue's own is about to connect.
    pub(super) fn door(&mut self, generation: u64, knock: Knock) -> Door {
        match knock {
            Knock::Port { from, to } => {
                if let Err(error) = self.sockets.probe(Some((from, generation))) {
                    tracing::warn!(%error, "cannot give the readiness probe its own way");
                }
                if self.sockets.reaches(generation, to) {
                    Door::Open
                } else {
                    Door::Shut
                }
            }
            Knock::Path(path) => {
                // What cannot be looked at cannot be connected to either, and the connect says why.
                let Ok(target) = Target::of(&path) else {
                    return Door::Open;
                };
                match self.paths.way_to(generation, &target) {
                    Way::AsAsked => Door::Open,
                    Way::Beside(path) => Door::Beside(path),
                    Way::None => Door::Shut,
                }
            }
        }
    }

    /// The command is about to connect to this address.
    pub(super) fn reach(
        &mut self,
        generation: u64,
        address: &[u8],
        copy: Result<OwnedFd, String>,
    ) -> Result<(), Errno> {
        let mut asked = [Family::Four, Family::Six].into_iter();
        let Some(asked) = asked.find_map(|family| address::parse(family, address)) else {
            return Ok(());
        };
        if self.state.serves(generation) || !self.sockets.serve(asked) || !is_local(asked) {
            return Ok(());
        }
        if !self.sockets.reaches(generation, asked.port()) {
            return Err(Errno::ECONNREFUSED);
        }
        let directed = copy.and_then(|socket| {
            let port = own_port(&socket).map_err(|error| error.to_string())?;
            let probe = self.sockets.probe(Some((port, generation)));
            probe.map_err(|error| error.to_string())
        });
        if let Err(why) = directed {
            self.refuse_to_reach(&why);
        }
        Ok(())
    }

    /// It is about to connect to this path. `None`: it does so itself.
    pub(super) fn reach_path(
        &mut self,
        generation: u64,
        target: &Target,
        copy: Result<OwnedFd, String>,
    ) -> Option<Result<(), Errno>> {
        match self.paths.way_to(generation, target) {
            Way::AsAsked => None,
            Way::None => Some(Err(Errno::ECONNREFUSED)),
            Way::Beside(path) => match copy {
                Ok(socket) => Some(connect_at_once(&socket, &path)),
                Err(why) => {
                    self.refuse_to_reach(&why);
                    None
                }
            },
        }
    }
}

/// Is it an address of this machine, as far as this network namespace goes? Only to such a one can a socket be bound.
fn is_local(address: SocketAddr) -> bool {
    UdpSocket::bind((address.ip(), 0)).is_ok()
}

/// The port that a socket is bound to, or is bound to now: the kernel would choose one at the connect.
fn own_port(socket: &OwnedFd) -> nix::Result<u16> {
    let port = |name: SockaddrStorage| {
        let four = name.as_sockaddr_in().map(|it| it.port());
        four.or(name.as_sockaddr_in6().map(|it| it.port())).unwrap_or(0)
    };
    let name: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    match port(name) {
        0 => {
            bind(socket.as_raw_fd(), &name)?;
            getsockname(socket.as_raw_fd()).map(port)
        }
        port => Ok(port),
    }
}

/// Connects without waiting for room in the queue.
fn connect_at_once(socket: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let address = UnixAddr::new(path)?;
    let flags = OFlag::from_bits_retain(fcntl(socket.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(socket.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let connected = connect(socket.as_raw_fd(), &address);
    fcntl(socket.as_fd(), FcntlArg::F_SETFL(flags))?;
    connected
}
