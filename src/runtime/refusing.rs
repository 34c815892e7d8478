//! REFUSES new connections in the final stop, and every connection to a socket of segue's own: accepts and resets them.

use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll},
};

use super::Supervisor;
use crate::handover::refuser::Refuser;

impl Supervisor {
    /// From now on new connections are refused.
    pub(super) fn refuse(&mut self) {
        for refuser in self.sockets.refuse() {
            self.serve_refuser(refuser);
        }
    }

    /// Every connection to this socket of segue's is reset from now on.
    pub(super) fn serve_refuser(&mut self, socket: io::Result<OwnedFd>) {
        match socket.and_then(Refuser::new) {
            Ok(refuser) => self.refusers.push(refuser),
            Err(error) => tracing::warn!(%error, "cannot refuse new connections"),
        }
    }

    pub(super) fn poll_refusers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut more = false;
        self.refusers.retain(|it| match it.poll_refuse(context) {
            Poll::Ready(listens) => {
                more |= listens;
                listens
            }
            Poll::Pending => true,
        });
        if more { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Segue's own sockets among the members reset who comes to them.
    pub(super) fn serve_refusers(&mut self) {
        for refuser in self.sockets.new_refusers() {
            self.serve_refuser(refuser);
        }
    }
}
