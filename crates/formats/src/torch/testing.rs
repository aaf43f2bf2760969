//! Pickles and archives assembled by hand.

/// A zip archive of stored records.
pub(crate) fn zip(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, directory) = rows(records);
    let (start, len, n) = (bytes.len() as u32, directory.len() as u32, records.len() as u16);
    bytes.extend(directory);
    end(&mut bytes, n, len, start);
    bytes
}

/// The same with a zip64 end record, the plain one saying nothing.
pub(crate) fn zip64(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, directory) = rows(records);
    let (start, len, n) = (bytes.len() as u64, directory.len() as u64, records.len() as u64);
    bytes.extend(directory);
    let end_64 = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0]);
    bytes.extend([0; 8]);
    for number in [n, n, len, start] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(end_64.to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    end(&mut bytes, u16::MAX, u32::MAX, u32::MAX);
    bytes
}

/// The records with their headers, and the directory.
fn rows(records: &[(&str, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in records {
        let at = bytes.len() as u32;
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    (bytes, directory)
}

fn end(bytes: &mut Vec<u8>, n: u16, len: u32, start: u32) {
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(n.to_le_bytes());
    bytes.extend(n.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
}

/// An archive of a pickle and the storages `0`, `1` and so on.
pub(crate) fn archive(pickle: Vec<u8>, storages: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..storages.len()).map(|n| format!("archive/data/{n}")).collect();
    let mut records = vec![("archive/data.pkl", pickle)];
    records.extend(names.iter().zip(storages).map(|(name, s)| (name.as_str(), s.to_vec())));
    zip(&records)
}

/// A pickle under construction, one opcode after the other.
#[derive(Clone)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new(protocol: u8) -> Self {
        Self(vec![0x80, protocol])
    }

    pub(crate) fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(crate) fn int(self, n: i64) -> Self {
        self.op(&[0x8a, 8]).op(&n.to_le_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.op(b"c").op(module.as_bytes()).op(b"\n").op(name.as_bytes()).op(b"\n")
    }

    pub(crate) fn ints(self, ns: &[i64]) -> Self {
        ns.iter().fold(self.op(b"("), |pickle, &n| pickle.int(n)).op(b"t")
    }

    /// A dictionary; each value pushes itself.
    pub(crate) fn dict(self, items: &[(&str, &dyn Fn(Self) -> Self)]) -> Self {
        items.iter().fold(self.op(b"}("), |pickle, (key, value)| value(pickle.text(key))).op(b"u")
    }

    /// A call of a function on what `arguments` pushes.
    pub(crate) fn call(self, module: &str, name: &str, arguments: impl Fn(Self) -> Self) -> Self {
        arguments(self.global(module, name).op(b"(")).op(b"tR")
    }

    pub(crate) fn storage(self, kind: &str, key: &str, n: i64) -> Self {
        let pickle = self.op(b"(").text("storage").global("torch", kind);
        pickle.text(key).text("cpu").int(n).op(b"tQ")
    }

    pub(crate) fn tensor(
        self,
        kind: &str,
        key: &str,
        n: i64,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> Self {
        self.call("torch._utils", "_rebuild_tensor_v2", |pickle| {
            let pickle = pickle.storage(kind, key, n).int(offset).ints(shape).ints(strides);
            pickle.op(b"\x89").call("collections", "OrderedDict", |pickle| pickle)
        })
    }
}
