//! Formats of the field that are not read, by name, with what would make them readable.

use std::path::Path;

/// Beginnings of files that turn up in place of scans.
const BEGINNINGS: [(&[u8], &str); 15] = [
    (b"PAR1", "a Parquet file"),
    (b"<?xml", "XML that is no GIFTI"),
    (b"MATLAB 5.0", "a MATLAB file of version 5 that is cut short"),
    (b"CDF\x01", "NetCDF 3 or MINC 1"),
    (b"CDF\x02", "NetCDF 3 or MINC 1"),
    (b"NRRD", "an NRRD image (convert it to NIfTI)"),
    (b"ObjectType", "a MetaImage header (.mha, .mhd; convert it to NIfTI)"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"\xfd7zXZ\0", "xz-compressed data"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"\x00\x00\x00\x01Bud1", "a macOS folder setting"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself (run `git annex get`)"),
    (b"\xff\xff\xfe", "a FreeSurfer surface"),
    (b"%PDF", "a PDF"),
];

const AFNI: &str = "part of an AFNI dataset (.HEAD, .BRIK; convert it with `3dAFNItoNIFTI`)";
const PHILIPS: &str = "part of a Philips scan (.PAR, .REC; convert it with `dcm2niix`)";

/// The format of a file that is not compressed, by its beginning, and where that says nothing by its
/// name; none where it may be text.
pub(crate) fn format(path: &Path, start: &[u8]) -> Option<&'static str> {
    if start.get(128..132) == Some(b"DICM") {
        return Some("a DICOM file (convert the series to NIfTI with `dcm2niix`)");
    }
    if let Some((_, found)) = BEGINNINGS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(found);
    }
    if is_matlab_4(start) {
        return Some("a MATLAB file from before 7.3 (version 4; save it anew with `-v7`)");
    }
    // headers of text that would be read as tables
    if contains(start, b"-attribute") && contains(start, b"type") {
        return Some(AFNI);
    }
    if start.starts_with(b"#") && contains(start, b"DATA DESCRIPTION FILE") {
        return Some(PHILIPS);
    }
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let is_binary = start.contains(&0);
    let ends_in = |ending: &str| is_binary && name.ends_with(ending);
    match () {
        () if ends_in(".brik") => Some(AFNI),
        () if ends_in(".rec") => Some(PHILIPS),
        () => None,
    }
}

/// What gzip-compressed content is that is no NIfTI, by its beginning.
pub(crate) fn in_gzip(path: &Path, start: &[u8]) -> &'static str {
    // the beginning may end inside of a letter
    let is_text =
        || std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true);
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match () {
        () if name.ends_with(".brik.gz") => AFNI,
        () if !start.contains(&0) && is_text() => {
            "a gzip-compressed table of text (unpack it with `gunzip`)"
        }
        () => "gzip-compressed data that is no NIfTI",
    }
}

/// Whether a text is GIFTI: its root or its document type says so.
pub(crate) fn is_gifti(start: &[u8]) -> bool {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    text.starts_with(b"<") && (contains(text, b"<GIFTI") || contains(text, b"<!DOCTYPE GIFTI"))
}

fn contains(start: &[u8], words: &[u8]) -> bool {
    start.windows(words.len()).any(|window| window == words)
}

/// Version 4 has no magic: five whole numbers of 32 bits (kind, rows, columns, whether complex,
/// length of the name) before the name of the first matrix.
fn is_matlab_4(start: &[u8]) -> bool {
    let Some((header, name)) = start.split_first_chunk::<20>() else { return false };
    let (words, _) = header.as_chunks::<4>();
    let fits = |read: fn([u8; 4]) -> i32, machine: i32| {
        let [kind, rows, columns, complex, n_name] = [0, 1, 2, 3, 4].map(|i| read(words[i]));
        let precision = kind % 100 / 10;
        let is_kind = kind / 1000 == machine
            && kind % 1000 / 100 == 0
            && (0..=5).contains(&precision)
            && (0..=2).contains(&(kind % 10));
        let Ok(n_name) = usize::try_from(n_name) else { return false };
        let is_name = (2..=64).contains(&n_name)
            && name.get(..n_name).is_some_and(|name| {
                let (letters, end) = name.split_at(n_name - 1);
                end == [0] && letters.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
            });
        is_kind && rows > 0 && columns > 0 && (0..=1).contains(&complex) && is_name
    };
    fits(i32::from_le_bytes, 0) || fits(i32::from_be_bytes, 1)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use crate::{OpenOptions, nii::testing::Scratch, open};

    fn refused(name: &str, bytes: &[u8]) -> String {
        let scratch = Scratch::new();
        open(scratch.file(name, bytes), &OpenOptions::default()).unwrap_err().to_string()
    }

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn formats_that_are_not_read_are_called_by_name() {
        let dicom = [&[0; 128][..], b"DICM", &[2, 0, 0, 0]].concat();
        let matlab_4: Vec<u8> = [0_i32, 40, 8, 0, 3]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .chain(*b"ts\0")
            .chain([0; 64])
            .collect();
        let head = b"\ntype = string-attribute\nname = TYPESTRING\ncount = 15\n'3DIM_HEAD_ANAT~\n";
        let par = b"# === DATA DESCRIPTION FILE =====\n#\n# CAUTION\n 1 1 1 1 2\n";
        let cases: [(&str, Vec<u8>, &str); 8] = [
            ("a+orig.HEAD", head.to_vec(), "part of an AFNI dataset (.HEAD"),
            ("a+orig.BRIK", vec![0, 3, 0, 4], "part of an AFNI dataset (.HEAD"),
            ("a.PAR", par.to_vec(), "part of a Philips scan (.PAR"),
            ("a.dcm", dicom, "a DICOM file"),
            ("a.mat", matlab_4, "a MATLAB file from before 7.3 (version 4"),
            (
                "b.mat",
                b"MATLAB 5.0 MAT-file".to_vec(),
                "a MATLAB file of version 5 that is cut short",
            ),
            ("a.tsv.gz", gzipped(b"a\tb\n1\t2\n"), "a gzip-compressed table of text"),
            ("a.xml", b"<?xml version=\"1.0\"?>\n<a/>".to_vec(), "XML that is no GIFTI"),
        ];
        for (name, bytes, expected) in cases {
            let said = refused(name, &bytes);
            assert!(said.contains(&format!("{name}: is {expected}")), "{said}");
        }
    }

    #[test]
    fn tables_with_comments_and_words_are_still_tables() {
        let scratch = Scratch::new();
        let options = OpenOptions { t_r: Some(2.0), ..OpenOptions::default() };
        for text in ["# type: attributes of a run\na\tb\n1\t2\n", "a,b\n0.5,0.25\n1,2\n"] {
            assert!(open(scratch.file("a.tsv", text.as_bytes()), &options).is_ok(), "{text}");
        }
    }
}
