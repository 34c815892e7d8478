//! HANDS OVER: holds the listening sockets, one of each per generation, and decides which generation's gets a new
//! connection. Never reads or writes a byte of a connection.

pub mod bound;
pub mod census;
pub mod datagrams;
pub mod exchange;
pub mod facts;
pub mod group;
pub mod holders;
pub mod inherited;
pub mod listener;
pub mod listening;
pub mod open_files;
pub mod options;
pub mod order;
pub mod paths;
pub mod refuser;
pub mod sockets;
pub mod steering;
pub mod trapped;
