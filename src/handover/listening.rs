//! ASKS where a program listens on TCP sockets that it opened itself: which listening sockets there are the kernel says,
//! and whose they are /proc. Only looks.

use std::{collections::HashSet, io};

use super::{census, open_files};

/// Does one of these processes hold a listening TCP socket that is not among `passed` (inode numbers)? A process whose
/// files cannot be read counts as one that does, which is the careful answer.
#[must_use]
pub fn any(pids: &[i32], passed: &[u64]) -> bool {
    let listeners = census::listeners().unwrap_or_default().into_iter();
    let inodes: HashSet<u64> = listeners
        .map(|it| it.inode)
        .filter(|inode| !passed.contains(inode))
        .collect();
    !inodes.is_empty() && pids.iter().any(|pid| holds(*pid, &inodes))
}

/// The ports on which these processes listen, one or several times each; of a process whose files cannot be read, none.
#[must_use]
pub fn ports(pids: &[i32]) -> Vec<u16> {
    let held: HashSet<u64> = pids
        .iter()
        .filter_map(|pid| open_files::sockets(*pid).ok())
        .flatten()
        .map(|it| it.1)
        .collect();
    let listeners = census::listeners().unwrap_or_default().into_iter();
    listeners
        .filter(|it| held.contains(&it.inode))
        .map(|it| it.address.port())
        .collect()
}

/// Does the process hold one of these sockets, or can that not be told?
#[must_use]
pub fn holds(pid: i32, inodes: &HashSet<u64>) -> bool {
    match open_files::sockets(pid) {
        Ok(sockets) => sockets.iter().any(|(_, inode)| inodes.contains(inode)),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    #[test]
    fn this_process_and_its_own_listener() {
        let own = [i32::try_from(std::process::id()).unwrap()];
        let listeners = [TcpListener::bind("127.0.0.1:0"), TcpListener::bind("[::1]:0")].map(Result::unwrap);
        let ports = listeners.each_ref().map(|it| it.local_addr().unwrap().port());
        assert!(super::any(&own, &[]));
        let told = super::ports(&own);
        assert!(ports.iter().all(|port| told.contains(port)), "{ports:?} in {told:?}");
        drop(listeners);
        let told = super::ports(&own);
        assert!(
            ports.iter().all(|port| !told.contains(port)),
            "{ports:?} not in {told:?}"
        );
    }

    #[test]
    fn what_was_passed_does_not_count() {
        use std::os::unix::fs::MetadataExt;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(listener));
        let inode = file.metadata().unwrap().ino();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(super::holds(own, &[inode].into()));
        assert!(!super::holds(own, &[u64::MAX].into()));
        assert!(!super::holds(i32::MAX, &[inode].into()), "no such process");
    }
}
