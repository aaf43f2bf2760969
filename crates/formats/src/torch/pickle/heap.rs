//! The objects that a pickle builds, in one flat list, so that shared and circular ones are safe.

use crate::{dtype::Dtype, error::Result, source::Cursor};

/// More objects than any checkpoint has; 32 bytes each.
pub(crate) const MAX_OBJECTS: usize = 1 << 23;

/// The place of an object in its heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

#[derive(Debug)]
pub(crate) enum Object {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Box<str>),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// Keys and values.
    Dict(Vec<(Id, Id)>),
    /// A class or function: `module.name`.
    Global(Box<str>),
    /// An object of an unknown class.
    Instance(Box<Instance>),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    /// Data that nobody asks for; what it was.
    Opaque(Box<str>),
}

/// An object of a class that we know by name only.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) class: Id,
    /// Arguments and, for a subclass of list or set, elements.
    pub(crate) elements: Vec<Id>,
    /// Items, for a subclass of dict.
    pub(crate) items: Vec<(Id, Id)>,
    /// What its `__setstate__` would get.
    pub(crate) state: Option<Id>,
}

/// The type of a storage's elements; a name for one that we do not read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Element {
    Known(Dtype),
    Other(Box<str>),
}

/// Elements in a row, stored under a key.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) element: Element,
    pub(crate) key: Box<str>,
    pub(crate) n_elements: u64,
}

/// A view into a storage; its own element type where the storage has none.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) storage: Id,
    pub(crate) element: Element,
    /// In elements.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// All objects of one pickle.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    objects: Vec<Object>,
    charged: usize,
}

impl Heap {
    pub(crate) fn get(&self, id: Id) -> &Object {
        &self.objects[id.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.objects[id.0 as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn index(id: Id) -> usize {
        id.0 as usize
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// A new object.
    pub(crate) fn add(&mut self, cursor: &Cursor<'_>, object: Object) -> Result<Id> {
        self.charge(cursor, 0)?;
        let id = Id(self.objects.len() as u32);
        self.objects.push(object);
        Ok(id)
    }

    /// Counts memory that a few bytes of pickle could ask for again and again, in objects.
    pub(crate) fn charge(&mut self, cursor: &Cursor<'_>, n: usize) -> Result<()> {
        self.charged = self.charged.saturating_add(n);
        if self.charged.saturating_add(self.objects.len()) >= MAX_OBJECTS {
            return Err(cursor.damaged(format!("it builds more than {MAX_OBJECTS} objects")));
        }
        Ok(())
    }
}
