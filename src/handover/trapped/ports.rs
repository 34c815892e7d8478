//! MARKS ports, a bit each, so that the thread that receives calls looks one up without a lock. Never tells which program has them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Some ports.
#[derive(Debug)]
pub(super) struct Ports(Vec<AtomicU64>);

impl Ports {
    pub(super) fn none() -> Ports {
        Ports((0..=u16::MAX / 64).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn has(&self, port: u16) -> bool {
        let word = self.0.get(usize::from(port / 64));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (port % 64) & 1 == 1)
    }

    pub(super) fn add(&self, port: u16) {
        if let Some(word) = self.0.get(usize::from(port / 64)) {
            word.fetch_or(1 << (port % 64), Ordering::Relaxed);
        }
    }

    /// These, and no others.
    pub(super) fn set(&self, ports: impl IntoIterator<Item = u16>) {
        let mut words = vec![0_u64; self.0.len()];
        for port in ports {
            if let Some(word) = words.get_mut(usize::from(port / 64)) {
                *word |= 1 << (port % 64);
            }
        }
        for (place, word) in self.0.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn a_port_is_marked_until_others_are() {
        let ports = Ports::none();
        for port in [1, 63, 64, 53, u16::MAX] {
            assert!(!ports.has(port));
            ports.add(port);
            assert!(ports.has(port) && !ports.has(port ^ 2));
        }
        ports.set([80, 443]);
        assert!(ports.has(80) && ports.has(443) && !ports.has(53) && !ports.has(u16::MAX));
    }
}
