//! Detectors by shape. Each looks at one place of a text, notes what it finds there, and is bounded in how far it looks.

pub mod contact;
pub mod identity;
pub mod network;
pub mod number;
pub mod payment;
pub mod phone;
pub mod place_time;
pub mod secrets;
