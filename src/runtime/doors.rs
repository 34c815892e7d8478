//! OPENS the doors that segue is reached by: pid file, control socket, admin endpoint. What was asked for by name is opened
//! before the program starts, and cannot fail afterwards; what segue looks for a place for by itself comes later, and may be
//! missing.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    Supervisor,
    boot::{Refusal, SYSTEM_REFUSED},
    helpers::keep_pid_file,
    panics::survive_wait,
    probing::Message,
};
use crate::{
    control::{
        Question, admin,
        place::{DIRECTORIES, Socket},
        search, server,
    },
    process::{helper::Helper, inherited::Inherited, mounts::Mounts, pid_file::PidFile},
    settings::{
        Settings,
        value::{Address, Admin, Control},
    },
};

/// Before a part that cannot begin tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is open. Dropped, it is closed, and its files are removed.
#[derive(Debug, Default)]
pub(super) struct Doors {
    control: Option<Socket>,
    admin: Vec<TcpListener>,
    pid_file: Option<PidFile>,
    /// Who keeps it, where it may hang.
    keeper: Option<Helper>,
}

impl Drop for Doors {
    fn drop(&mut self) {
        // Its file is gone when segue is.
        if let Some(keeper) = self.keeper.take() {
            keeper.end(Duration::from_secs(1));
        }
    }
}

impl Doors {
    /// Opens what was asked for by name. Relative paths are as seen from `directory`.
    pub(super) fn open(settings: &Settings, inherited: &Inherited) -> Result<Doors, Refusal> {
        let directory = inherited.directory();
        let absolute = |path: &Path| {
            directory
                .as_ref()
                .map_or_else(|| path.to_owned(), |directory| directory.join(path))
        };
        let mut lines = Vec::new();
        let mut doors = Doors::default();
        if let Some(path) = &settings.pid_file {
            let at = absolute(path);
            let kept = if Mounts::read().may_hang() {
                keep_pid_file(inherited, &at).map(|helper| doors.keeper = Some(helper))
            } else {
                let written = PidFile::write(&at, std::process::id());
                written
                    .map(|file| doors.pid_file = Some(file))
                    .map_err(|why| why.to_string())
            };
            match kept {
                Ok(()) => {}
                Err(why) => lines.push(format!("SEGUE_PID_FILE={path:?}: {why}")),
            }
        }
        if let Control::Path(path) = &settings.control {
            match Socket::at(&absolute(path)) {
                Ok(socket) => doors.control = Some(socket),
                Err(error) => lines.push(format!(
                    "SEGUE_CONTROL={path:?}: cannot make a socket there: {error}; give another path, auto or off"
                )),
            }
        }
        if let Admin::At(address) = &settings.admin {
            match listen(address) {
                Ok(listeners) => doors.admin = listeners,
                Err(error) => lines.push(format!("SEGUE_ADMIN: cannot listen on {address}: {error}")),
            }
        }
        if lines.is_empty() {
            Ok(doors)
        } else {
            Err(Refusal {
                lines,
                code: SYSTEM_REFUSED,
            })
        }
    }

    /// Where the control socket is.
    pub(super) fn control_path(&self) -> Option<PathBuf> {
        self.control.as_ref().map(|socket| socket.path.clone())
    }

    /// Lets people in, as soon as the loop turns.
    fn let_in(
        &mut self,
        settings: &Settings,
        questions: &mpsc::Sender<Question>,
        messages: &mpsc::UnboundedSender<Message>,
    ) {
        if settings.control == Control::Auto {
            match Socket::automatic(&DIRECTORIES, &search::namespace(), std::process::id()) {
                Ok(socket) => self.control = Some(socket),
                Err(error) => tracing::warn!(
                    %error,
                    remedy = "SEGUE_CONTROL=/path/to.sock, a tmpfs on /run, or SEGUE_CONTROL=off to accept that",
                    "no control socket: commands such as segue status cannot reach this segue"
                ),
            }
        }
        if !self.admin.is_empty() {
            for listener in &self.admin {
                let address = listener.local_addr().map(|it| it.to_string()).unwrap_or_default();
                tracing::info!(address, "admin endpoint");
            }
            let (listeners, questions) = (std::mem::take(&mut self.admin), questions.clone());
            tokio::spawn(again("admin", messages.clone(), async move || {
                let copies: io::Result<Vec<TcpListener>> = listeners.iter().map(TcpListener::try_clone).collect();
                match copies {
                    Ok(copies) => match admin::run(copies, questions.clone()).await {},
                    Err(error) => {
                        tracing::error!(%error, "cannot serve the admin endpoint");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }));
        }
        if let Some(socket) = &self.control {
            let listener = socket.listener().and_then(tokio::net::UnixListener::from_std);
            match listener {
                Ok(listener) => {
                    tracing::debug!(path = %socket.path.display(), "control socket");
                    let questions = questions.clone();
                    let user = nix::unistd::geteuid().as_raw();
                    tokio::spawn(again("control", messages.clone(), async move || {
                        server::run(&listener, user, &questions).await;
                    }));
                }
                Err(error) => tracing::error!(%error, "cannot serve the control socket"),
            }
        }
    }
}

impl Supervisor {
    /// Lets people in, if they are not yet.
    pub(super) fn let_in(&mut self) {
        if self.let_in_at.take().is_some() {
            self.desk.tally.metrics();
            self.doors.let_in(&self.settings, &self.asking, &self.sender);
            self.start_watching();
            self.see_what_is_forbidden();
            // What is killed from now on counts.
            self.memory.cgroup();
        }
    }
}

/// A part of segue that ends by a fault of its own begins again; the fault was logged, and PID 1 goes on.
pub(super) async fn again(part: &'static str, messages: mpsc::UnboundedSender<Message>, work: impl AsyncFn()) {
    loop {
        if survive_wait(work()).await.is_none() {
            tracing::error!(part, "a part of segue begins again");
            // The loop outlives its tasks.
            messages.send(Message::BegunAgain(part)).ok();
        }
    }
}

/// Listens for HTTP, for this process alone.
fn listen(address: &Address) -> io::Result<Vec<TcpListener>> {
    let bind = |address: SocketAddr| {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok::<_, io::Error>(listener)
    };
    match address {
        Address::Tcp(address) => Ok(vec![bind(*address)?]),
        Address::AnyInterface(port) => match bind((Ipv6Addr::UNSPECIFIED, *port).into()) {
            // A system without IPv6.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
                Ok(vec![bind((Ipv4Addr::UNSPECIFIED, *port).into())?])
            }
            bound => Ok(vec![bound?]),
        },
        Address::Localhost(port) => {
            let first = bind((Ipv4Addr::LOCALHOST, *port).into())?;
            let same = first.local_addr()?.port();
            let second = bind((Ipv6Addr::LOCALHOST, same).into());
            Ok([Some(first), second.ok()].into_iter().flatten().collect())
        }
        Address::Unix(_) => Err(io::Error::other("the endpoint is HTTP over TCP")),
    }
}
