//! READS what went over a connection out of the attributes of an answer (`struct tcp_info`, `include/uapi/linux/tcp.h`). Pure.

use std::{io, mem::offset_of, time::Duration};

use libc::tcp_info;
use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::INET_DIAG_INFO;

use super::{Traffic, diag::not_understood};

/// Offsets in the kernel's `struct tcp_info`, of what the C library's does not have.
const DATA_SEGMENTS_IN: usize = 152;
const DATA_SEGMENTS_OUT: usize = 156;

/// Told in tcp_info only.
pub(super) fn traffic(attributes: &[u8]) -> io::Result<Option<Traffic>> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute.map_err(not_understood)?;
        if attribute.kind() == INET_DIAG_INFO {
            return Ok(parse_info(attribute.value()));
        }
    }
    Ok(None)
}

fn parse_info(info: &[u8]) -> Option<Traffic> {
    let number = |at: usize| Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    let time = |at| Some(Duration::from_millis(number(at)?.into()));
    Some(Traffic {
        quiet_in: time(offset_of!(tcp_info, tcpi_last_data_recv))?,
        quiet_out: time(offset_of!(tcp_info, tcpi_last_data_sent))?,
        confirmed: time(offset_of!(tcp_info, tcpi_last_ack_recv))?,
        segments: number(DATA_SEGMENTS_IN).zip(number(DATA_SEGMENTS_OUT)),
    })
}
