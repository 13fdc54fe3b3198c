//! Renders what others counted: INFO now, other formats beside it. Reads plain structs, changes nothing.

pub mod info;
