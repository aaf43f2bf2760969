//! Flatbuffers, as far as Arrow's messages need them: tables by their offsets, each looked up inside of the
//! bytes or not at all.
//!
//! Source: the internals of `FlatBuffers` and `Message.fbs`, `Schema.fbs` of Apache Arrow (format 1.5).

/// A table in the bytes of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn offset(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(array(bytes, at)?) as usize)
}

impl<'a> Flat<'a> {
    /// The table at the root.
    pub(super) fn root(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, at: offset(bytes, 0)? })
    }

    /// Where the bytes of a field are; none where it has its default.
    fn field(self, id: usize) -> Option<usize> {
        let back = i64::from(i32::from_le_bytes(array(self.bytes, self.at)?));
        let table = usize::try_from(i64::try_from(self.at).ok()? - back).ok()?;
        let size = usize::from(u16::from_le_bytes(array(self.bytes, table)?));
        let entry = 4 + 2 * id;
        if entry + 2 > size {
            return None;
        }
        let within = u16::from_le_bytes(array(self.bytes, table.checked_add(entry)?)?);
        (within != 0).then(|| self.at.checked_add(usize::from(within))).flatten()
    }

    /// Where an offset leads.
    fn follow(self, at: usize) -> Option<usize> {
        at.checked_add(offset(self.bytes, at)?)
    }

    pub(super) fn u8(self, id: usize) -> u8 {
        self.field(id).and_then(|at| self.bytes.get(at)).copied().unwrap_or(0)
    }

    pub(super) fn i16(self, id: usize) -> i16 {
        self.field(id).and_then(|at| array(self.bytes, at)).map_or(0, i16::from_le_bytes)
    }

    pub(super) fn i32(self, id: usize) -> i32 {
        self.field(id).and_then(|at| array(self.bytes, at)).map_or(0, i32::from_le_bytes)
    }

    pub(super) fn i64(self, id: usize) -> i64 {
        self.field(id).and_then(|at| array(self.bytes, at)).map_or(0, i64::from_le_bytes)
    }

    pub(super) fn table(self, id: usize) -> Option<Self> {
        let at = self.follow(self.field(id)?)?;
        Some(Self { bytes: self.bytes, at })
    }

    pub(super) fn text(self, id: usize) -> Option<&'a str> {
        let (start, n) = self.vector(id)?;
        std::str::from_utf8(self.bytes.get(start..start.checked_add(n)?)?).ok()
    }

    /// Where a vector begins, and its length.
    fn vector(self, id: usize) -> Option<(usize, usize)> {
        let at = self.follow(self.field(id)?)?;
        Some((at.checked_add(4)?, offset(self.bytes, at)?))
    }

    /// The tables of a vector; none where it claims more than the bytes can hold.
    pub(super) fn tables(self, id: usize) -> Option<Vec<Self>> {
        let Some((start, n)) = self.vector(id) else { return Some(Vec::new()) };
        if n > self.bytes.len() / 4 {
            return None;
        }
        (0..n).map(|i| Some(Self { bytes: self.bytes, at: self.follow(start + 4 * i)? })).collect()
    }

    /// Pairs of 64 bits in a vector of structures.
    pub(super) fn pairs(self, id: usize) -> Option<Vec<(u64, u64)>> {
        let Some((start, n)) = self.vector(id) else { return Some(Vec::new()) };
        if n > self.bytes.len() / 16 {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(array(self.bytes, at)?));
        (0..n).map(|i| Some((number(start + 16 * i)?, number(start + 16 * i + 8)?))).collect()
    }
}
