//! Python's pickle, protocols 0 to 5, as data: a machine that builds objects and calls nothing.
//!
//! A pickle is a program for a stack machine that may call any function it names. This machine knows
//! the same opcodes (`pickletools`), but its only functions are the few of [`call`] that rebuild
//! plain data and tensors, done by us. An unknown *class* that is merely instantiated becomes an
//! object that holds its state; an unknown *function* that is called, or a class that is a part of
//! the running [`system`], is the end of the file.

mod build;
mod call;
mod heap;
mod lines;
mod machine;
mod system;

pub(crate) use heap::{Element, Heap, Id, Instance, Object, Storage, Tensor};
pub(crate) use machine::load;

#[cfg(test)]
mod tests;
