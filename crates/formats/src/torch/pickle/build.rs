//! What opcodes make of their operands: classes, collections, objects, storages.

use super::{
    call,
    heap::{Id, Instance, Object, Storage},
    machine::Machine,
};
use crate::error::Result;

impl Machine<'_, '_> {
    pub(super) fn push(&mut self, object: Object) -> Result<()> {
        let id = self.heap.add(self.cursor, object)?;
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let name = format!("{module}.{name}");
        self.heap.charge(self.cursor, name.len() / 32)?;
        self.push(Object::Global(name.into()))
    }

    pub(super) fn pairs(&self, flat: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = flat.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.cursor.damaged("a dictionary has a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    pub(super) fn extend(&mut self, elements: &[Id]) -> Result<()> {
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Object::List(list) => list.extend(elements),
            Object::Instance(instance) => instance.elements.extend(elements),
            Object::Opaque(_) => {}
            _ => return Err(self.cursor.damaged("it appends to something that is no list")),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, flat: &[Id]) -> Result<()> {
        let items = self.pairs(flat)?;
        let dict = self.top()?;
        match self.heap.get_mut(dict) {
            Object::Dict(dict) => dict.extend(items),
            Object::Instance(instance) => instance.items.extend(items),
            Object::Opaque(_) => {}
            _ => {
                return Err(self
                    .cursor
                    .damaged("it sets items of something that is no dictionary"));
            }
        }
        Ok(())
    }

    /// An object without the call of its class: what `__new__` alone would leave.
    pub(super) fn instantiate(
        &mut self,
        class: Id,
        arguments: Id,
        keywords: Option<Id>,
    ) -> Result<()> {
        if !matches!(self.heap.get(class), Object::Global(_)) {
            return Err(self.cursor.damaged("it makes an object of something that is no class"));
        }
        let elements = call::elements(self, arguments)?.to_vec();
        self.check_class(class, &elements)?;
        self.heap.charge(self.cursor, 4 + elements.len())?;
        let mut items = Vec::new();
        if let Some(Object::Dict(given)) = keywords.map(|id| self.heap.get(id)) {
            items.clone_from(given);
            self.heap.charge(self.cursor, items.len())?;
        }
        let instance = Instance { class, elements, items, state: None };
        self.push(Object::Instance(Box::new(instance)))
    }

    /// What lies outside the pickle: `("storage", type, key, device, n_elements)`, or in old files a
    /// class with its source code, which is not looked at.
    pub(super) fn persistent(&mut self, id: Id) -> Result<()> {
        let parts = call::elements(self, id)?;
        let text = |index: usize| match parts.get(index).map(|&part| self.heap.get(part)) {
            Some(Object::Text(text) | Object::Global(text)) => Some(text.clone()),
            _ => None,
        };
        match (text(0).as_deref(), text(1), text(2), parts.get(4).map(|&n| self.heap.get(n))) {
            (Some("module"), Some(_), ..) => {
                let class = parts[1];
                self.stack.push(class);
                Ok(())
            }
            (Some("storage"), Some(class), Some(key), Some(&Object::Int(n))) => {
                if !matches!(
                    parts.get(5).map(|&view| self.heap.get(view)),
                    None | Some(Object::None)
                ) {
                    let cure = "load it and save it again with torch.save";
                    return Err(self
                        .cursor
                        .source
                        .unsupported("views of storages (torch < 0.4)", cure));
                }
                let (Some(element), Ok(n_elements)) = (call::storage_type(&class), n.try_into())
                else {
                    return Err(self
                        .cursor
                        .damaged(format!("a storage of `{class}` has {n} elements")));
                };
                self.heap.charge(self.cursor, 3 + key.len() / 32)?;
                self.push(Object::Storage(Box::new(Storage { element, key, n_elements })))
            }
            _ => Err(self.cursor.damaged("a persistent id is no storage")),
        }
    }
}
