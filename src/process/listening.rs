//! ASKS whether a program listens on TCP sockets that it opened itself, as /proc tells. Only looks.

use std::{collections::HashSet, fs};

/// A socket's state in /proc/net/tcp that means "listens" (`TCP_LISTEN`, proc(5)).
const LISTEN: &str = "0A";

/// Does one of these processes hold a listening TCP socket that is not among `passed` (inode numbers)? A process whose
/// files cannot be read counts as one that does, which is the careful answer.
#[must_use]
pub fn any(pids: &[i32], passed: &[u64]) -> bool {
    let mut inodes: HashSet<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table))
        .collect();
    passed.iter().for_each(|inode| {
        inodes.remove(inode);
    });
    !inodes.is_empty() && pids.iter().any(|pid| holds(*pid, &inodes))
}

fn holds(pid: i32, inodes: &HashSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return fs::exists(format!("/proc/{pid}")).unwrap_or(false);
    };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|link| {
            let inode = link
                .to_str()
                .and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            inode.is_some_and(|inode: u64| inodes.contains(&inode))
        })
}

/// The inodes of the listening sockets in a table.
fn listening(table: &str) -> Vec<u64> {
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        (fields.next()? == LISTEN)
            .then(|| fields.nth(5)?.parse().ok())
            .flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_table_of_the_kernel_s() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1\n";
        assert_eq!(super::listening(table), [4711]);
    }

    #[test]
    fn this_process_and_its_own_listener() {
        let own = [i32::try_from(std::process::id()).unwrap()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(super::any(&own, &[]));
        drop(listener);
    }
}
