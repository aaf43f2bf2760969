//! flamingo
