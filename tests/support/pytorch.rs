//! PyTorch's weight files, written as `torch.save` does.

use xtask::encoders::Plain;

use crate::stored_zip;

/// A state dictionary in a zip archive of a pickle and one storage a tensor; under `section`, beside an
/// epoch, where there is one.
pub fn pytorch(section: Option<&str>, tensors: &[Plain]) -> Vec<u8> {
    let text =
        |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let int = |n: usize| [b"\x8a\x08", (n as i64).to_le_bytes().as_slice()].concat();
    let ints = |ns: &[usize]| {
        let all: Vec<u8> = ns.iter().flat_map(|&n| int(n)).collect();
        [b"(", all.as_slice(), b"t"].concat()
    };
    let mut dictionary = b"}(".to_vec();
    for (at, (name, shape, values)) in tensors.iter().enumerate() {
        let strides: Vec<usize> =
            (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        dictionary.extend(text(name));
        dictionary.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        dictionary.extend(text("storage"));
        dictionary.extend(b"ctorch\nFloatStorage\n");
        dictionary.extend([text(&at.to_string()), text("cpu"), int(values.len())].concat());
        dictionary.extend(b"tQ");
        dictionary.extend([int(0), ints(shape), ints(&strides)].concat());
        dictionary.extend(b"\x89ccollections\nOrderedDict\n(tRtR");
    }
    dictionary.extend(b"u");
    let inside = match section {
        None => dictionary,
        Some(section) => {
            [b"}(", &*text("epoch"), &int(3), &text(section), &dictionary, b"u"].concat()
        }
    };
    let pickle = [b"\x80\x02", &*inside, b"."].concat();
    let name = |at: usize| format!("archive/data/{at}");
    let names: Vec<String> = (0..tensors.len()).map(name).collect();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let mut files: Vec<(&str, &[u8])> = vec![("archive/data.pkl", &pickle)];
    files.extend(names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)));
    stored_zip(&files)
}
