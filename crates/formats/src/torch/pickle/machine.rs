//! The stack machine: one opcode after the other, each bounded by the bytes that are there.

use std::collections::HashMap;

use super::{
    call,
    heap::{Heap, Id, Object},
    lines::MAX_NAME,
};
use crate::{error::Result, source::Cursor};

/// Builds the objects of one pickle, up to and including its STOP; the last one is the whole.
pub(crate) fn load(cursor: &mut Cursor<'_>) -> Result<(Heap, Id)> {
    let (heap, stack, marks) = (Heap::default(), Vec::new(), Vec::new());
    let mut machine = Machine { cursor, heap, stack, marks, memo: HashMap::new() };
    loop {
        let opcode = machine.cursor.u8()?;
        if opcode == b'.' {
            let whole = machine.pop()?;
            return Ok((machine.heap, whole));
        }
        machine.step(opcode)?;
    }
}

pub(super) struct Machine<'m, 'c> {
    pub(super) cursor: &'m mut Cursor<'c>,
    pub(super) heap: Heap,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack that open sequences began at.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Machine<'_, '_> {
    #[allow(clippy::too_many_lines, reason = "one arm an opcode")]
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            // frame
            0x80 => match self.cursor.u8()? {
                0..=5 => {}
                n => {
                    let cure = "save it with protocol 2 to 5";
                    return Err(self
                        .cursor
                        .source
                        .unsupported(format!("pickle protocol {n}"), cure));
                }
            },
            0x95 => {
                let n = self.cursor.u64()?;
                self.cursor.check_left(n)?;
            }

            // stack and memo
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b'q' => {
                let slot = self.cursor.u8()?.into();
                self.memo.insert(slot, self.top()?);
            }
            b'r' => {
                let slot = self.cursor.u32()?;
                self.memo.insert(slot, self.top()?);
            }
            0x94 => {
                let slot = self.memo.len() as u32;
                self.memo.insert(slot, self.top()?);
            }
            b'p' => {
                let slot = self.slot_line()?;
                self.memo.insert(slot, self.top()?);
            }
            b'g' => {
                let slot = self.slot_line()?;
                self.recall(slot)?;
            }
            b'h' => {
                let slot = self.cursor.u8()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = self.cursor.u32()?;
                self.recall(slot)?;
            }

            // scalars
            b'N' => self.push(Object::None)?,
            0x88 => self.push(Object::Bool(true))?,
            0x89 => self.push(Object::Bool(false))?,
            b'J' => {
                let n = i32::from_le_bytes(self.cursor.array()?);
                self.push(Object::Int(n.into()))?;
            }
            b'K' => {
                let n = self.cursor.u8()?;
                self.push(Object::Int(n.into()))?;
            }
            b'M' => {
                let n = self.cursor.u16()?;
                self.push(Object::Int(n.into()))?;
            }
            0x8a => {
                let n = self.cursor.u8()?;
                self.long(n.into())?;
            }
            0x8b => {
                let n = self.cursor.u32()?;
                self.long(n.into())?;
            }
            b'G' => {
                let x = f64::from_be_bytes(self.cursor.array()?);
                self.push(Object::Float(x))?;
            }
            b'I' => self.int_line()?,
            b'L' => self.long_line()?,
            b'F' => self.float_line()?,

            // text and bytes
            0x8c => {
                let n = self.cursor.u8()?;
                self.text(n.into())?;
            }
            b'X' => {
                let n = self.cursor.u32()?;
                self.text(n.into())?;
            }
            0x8d => {
                let n = self.cursor.u64()?;
                self.text(n)?;
            }
            b'C' => {
                let n = self.cursor.u8()?;
                self.bytes(n.into())?;
            }
            b'B' => {
                let n = self.cursor.u32()?;
                self.bytes(n.into())?;
            }
            0x8e | 0x96 => {
                let n = self.cursor.u64()?;
                self.bytes(n)?;
            }
            // Python 2's strings, which are text in every checkpoint
            b'U' => {
                let n = self.cursor.u8()?;
                self.python2_text(n.into())?;
            }
            b'T' => {
                let n = self.cursor.u32()?;
                self.python2_text(n.into())?;
            }
            b'S' => self.quoted_line()?,
            b'V' => self.text_line()?,

            // collections
            b']' | b')' | 0x8f => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b'l' | b't' | 0x91 => {
                let elements = self.pop_mark()?;
                self.push(Object::List(elements))?;
            }
            0x85..=0x87 => {
                let n = usize::from(opcode - 0x84);
                let mut elements = Vec::with_capacity(n);
                for _ in 0..n {
                    elements.push(self.pop()?);
                }
                elements.reverse();
                self.push(Object::List(elements))?;
            }
            b'd' => {
                let flat = self.pop_mark()?;
                let items = self.pairs(&flat)?;
                self.push(Object::Dict(items))?;
            }
            b'a' => {
                let element = self.pop()?;
                self.extend(&[element])?;
            }
            b'e' | 0x90 => {
                let elements = self.pop_mark()?;
                self.extend(&elements)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            b'u' => {
                let flat = self.pop_mark()?;
                self.set(&flat)?;
            }

            // classes and functions
            b'c' => {
                let (module, name) = (self.name_line()?, self.name_line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) =
                    (self.heap.get(module), self.heap.get(name))
                else {
                    return Err(self.cursor.damaged("STACK_GLOBAL has no text for a name"));
                };
                if module.len() + name.len() > MAX_NAME {
                    return Err(self.cursor.damaged("a class has too long a name"));
                }
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)?;
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let result = call::call(self, function, arguments)?;
                self.stack.push(result);
            }
            // protocol 0's two ways to call a class: no weight file needs them
            b'i' => {
                let (module, name) = (self.name_line()?, self.name_line()?);
                return Err(call::refused(self, &format!("{module}.{name}")));
            }
            b'o' => {
                let parts = self.pop_mark()?;
                let Some(&class) = parts.first() else {
                    return Err(self.cursor.damaged("it calls a class that is not there"));
                };
                let name = call::function_name(self, class)?;
                return Err(call::refused(self, &name));
            }
            0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.instantiate(class, arguments, None)?;
            }
            0x92 => {
                let (keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.instantiate(class, arguments, Some(keywords))?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                self.check_state(state)?;
                // dictionaries and tensors have attributes that nobody asks for, as `_metadata`
                if let Object::Instance(instance) = self.heap.get_mut(object) {
                    instance.state = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?;
            }
            _ => return Err(self.refused_opcode(opcode)),
        }
        Ok(())
    }

    fn refused_opcode(&self, opcode: u8) -> crate::Error {
        let at = self.cursor.position() - 1;
        let what = match opcode {
            b'P' => "a persistent id of pickle protocol 0",
            0x82..=0x84 => "a name from copyreg's registry",
            0x97 | 0x98 => "a buffer outside the pickle",
            _ => {
                return self
                    .cursor
                    .damaged(format!("byte {at} is {opcode:#04x}, which is no opcode"));
            }
        };
        let found = format!("{what} ({opcode:#04x} at byte {at})");
        self.cursor.source.unsupported(found, "save it with torch.save and pickle_protocol=2")
    }

    /// Height that the open sequence began at: nothing below may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Result<Id> {
        let above = &self.stack[self.floor()..];
        above.last().copied().ok_or_else(|| self.cursor.damaged("it takes from an empty stack"))
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.cursor.damaged("it ends a sequence that it never began"));
        };
        Ok(self.stack.split_off(mark))
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let Some(&id) = self.memo.get(&slot) else {
            return Err(self
                .cursor
                .damaged(format!("it recalls object {slot}, which it never kept")));
        };
        self.stack.push(id);
        Ok(())
    }

    /// A little-endian two's-complement integer; longer than 16 bytes nobody asks for it.
    fn long(&mut self, n: u64) -> Result<()> {
        if n > 16 {
            self.cursor.skip(n)?;
            return self.push(Object::Opaque("int".into()));
        }
        let bytes = self.cursor.bytes(n)?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(&bytes);
        self.push(Object::Int(i128::from_le_bytes(wide)))
    }

    fn text(&mut self, n: u64) -> Result<()> {
        let text = self.cursor.text(n)?.into_boxed_str();
        self.push(Object::Text(text))
    }

    fn bytes(&mut self, n: u64) -> Result<()> {
        self.cursor.skip(n)?;
        self.push(Object::Opaque("bytes".into()))
    }

    fn python2_text(&mut self, n: u64) -> Result<()> {
        match String::from_utf8(self.cursor.bytes(n)?) {
            Ok(text) => self.push(Object::Text(text.into())),
            Err(_) => self.push(Object::Opaque("bytes".into())),
        }
    }
}
