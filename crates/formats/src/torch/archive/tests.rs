//! Archives assembled by hand, and the ways in which they lie.

use crate::{
    testing::refusal,
    torch::testing::{Pickle, zip, zip64},
};

/// A state dictionary of one tensor in an archive of these further records.
fn records<'a>(more: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, Vec<u8>)> {
    let whole = Pickle::new(2).dict(&[("w", &|p| p.tensor("FloatStorage", "0", 2, 0, &[2], &[1]))]);
    let mut records = vec![("archive/data.pkl", whole.stop()), ("archive/data/0", vec![0; 8])];
    records.extend(more.iter().map(|(name, bytes)| (*name, bytes.to_vec())));
    records
}

#[test]
fn plain_and_zip64_archives_are_read() {
    for bytes in [zip(&records(&[])), zip64(&records(&[("archive/", b"")]))] {
        let file = crate::testing::file(&bytes);
        assert_eq!(crate::open(file.path()).unwrap().entries().len(), 1);
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["archive/../x", "/etc/passwd", "archive/a\\..\\b", "C:/x", "archive/./x"] {
        let problem = refusal(&zip(&records(&[(path, b"x")])));
        assert!(problem.ends_with("has a path that leads out of the archive"), "{problem}");
    }
}

#[test]
fn one_folder_holds_everything_once() {
    for (path, expected) in [
        ("other/x", "zip record `other/x` lies in another folder than `archive`"),
        ("x", "zip record `x` lies outside the one folder"),
        ("archive/data/0", "two zip records are called `archive/data/0`"),
    ] {
        assert_eq!(refusal(&zip(&records(&[(path, b"x")]))), expected);
    }
    let problem = refusal(&zip(&[("arr_0.npy", b"x".to_vec())]));
    assert!(problem.starts_with("is a zip archive without a folder of data.pkl"), "{problem}");
    let problem = refusal(&zip(&[("data.pkl", b"x".to_vec())]));
    assert!(problem.starts_with("is a zip archive without a folder of data.pkl"), "{problem}");
}

#[test]
fn every_truncation_is_called_so() {
    let whole = zip(&records(&[]));
    for n in 4..whole.len() {
        let problem = refusal(&whole[..n]);
        assert!(problem.contains("truncated or damaged"), "{n}: {problem}");
    }
}

/// The archive with `edit` done to the directory's row of `archive/data/0`, then to its own header.
fn edited(edit: impl Fn(&mut [u8], &mut [u8])) -> String {
    let mut bytes = zip(&records(&[]));
    let name = b"archive/data/0";
    let found: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(name)).collect();
    let (front, back) = bytes.split_at_mut(found[1] - 46);
    edit(back, &mut front[found[0] - 30..]);
    refusal(&bytes)
}

#[test]
fn rows_that_lie_are_refused_in_a_sentence() {
    let both = |row_at: usize, at: usize, n: u16| {
        move |row: &mut [u8], local: &mut [u8]| {
            row[row_at..row_at + 2].copy_from_slice(&n.to_le_bytes());
            local[at..at + 2].copy_from_slice(&n.to_le_bytes());
        }
    };
    for (problem, expected) in [
        (edited(both(8, 6, 1)), "holds the encrypted zip record"),
        (edited(both(10, 8, 8)), "compressed zip record `archive/data/0`"),
        (edited(|row, _| row[20] = 7), "it claims 8 bytes, the directory 7"),
        (edited(|_, local| local[35] ^= 1), "it disagrees with the directory about name"),
        (edited(|row, _| row[42] = 3), "overlaps the record before it"),
        (edited(|row, _| row[44] = 9), "lies behind the directory"),
        (edited(|row, _| row[42] += 1), "does not begin as one"),
        (edited(|row, _| row[0] = 0), "a row does not begin as one"),
        (
            edited(|row, local| {
                (row[20], row[24]) = (200, 200);
                (local[18], local[22]) = (200, 200);
            }),
            "claims 200 bytes (200 unpacked)",
        ),
        (
            edited(|row, _| {
                row[46 + 14 + 8] += 1;
                row[46 + 14 + 10] += 1;
            }),
            "lists 2 records, its end promises 3",
        ),
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}
