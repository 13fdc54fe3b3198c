//! The Redis serialization protocol: bytes of a connection to requests, replies to bytes.
//!
//! No I/O here. `decode` finds requests in a buffer without copying them, `inline` splits the
//! telnet-style form, `encode` writes replies in RESP2 or RESP3. A client that breaks the protocol
//! gets the error in [`decode::ProtocolError`] and its connection is closed; nothing else is affected.

pub mod args;
pub mod decode;
pub mod encode;
pub mod inline;
pub mod left_out;
pub mod unit;

pub use args::{Args, OwnedArgs};
pub use decode::{Batch, Decoder, ProtocolError};
pub use encode::Reply;
pub use left_out::LeftOut;
