//! HANDS OVER: holds the listening sockets, one of each per generation, and decides which generation's gets a new
//! connection. Never reads or writes a byte of a connection.

pub mod broker;
pub mod census;
pub mod group;
pub mod inherited;
pub mod listener;
pub mod listening;
pub mod options;
pub mod order;
pub mod refuser;
pub mod sockets;
pub mod steering;
