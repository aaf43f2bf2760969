//! Motion files in place of confounds tables: six columns without names, in an order of their own.
//!
//! Source of the orders: nipype 1.11 `normalize_mc_params`.

use std::path::Path;

const COLUMNS: &str = "expected a tab-separated table with the columns trans_x, trans_y, trans_z in mm \
                       and rot_x, rot_y, rot_z in radians";

/// Why the first line of a file holds no names of columns, in words; none where it may.
pub(super) fn problem(path: &Path, first: &[u8]) -> Option<String> {
    if first.starts_with(&[0x1f, 0x8b]) {
        return Some("it is gzip-compressed, expected a table of text".to_owned());
    }
    let line = std::str::from_utf8(first).ok()?.trim_start_matches('\u{feff}');
    let cells: Vec<&str> =
        line.split([' ', '\t', ',', '\r', '\n']).filter(|cell| !cell.is_empty()).collect();
    if cells.is_empty() || cells.iter().any(|cell| cell.parse::<f64>().is_err()) {
        return None;
    }
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let order = match cells.len() {
        6 if name.starts_with("rp_") => {
            "it is a motion file of SPM, without names over its columns: three translations in mm, \
             then three rotations in radians"
        }
        6 if ending == "par" => {
            "it is a motion file of FSL, without names over its columns: three rotations in radians, \
             then three translations in mm"
        }
        6 if ending == "1d" => {
            "it is a motion file of AFNI, without names over its columns: three rotations in degrees \
             (roll, pitch, yaw), then three translations in mm (superior, left, posterior)"
        }
        6 => {
            "it holds six columns without names, perhaps motion: SPM (`rp_….txt`) writes translations \
             first, FSL (`….par`) rotations first"
        }
        _ => return Some("expected the names of the columns".to_owned()),
    };
    Some(format!("{order}; {COLUMNS}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfoundTable, nii::testing::Scratch};

    #[test]
    fn motion_files_without_names_are_told_with_the_order_of_their_columns() {
        let spm = "  0.0000000e+00   1.2e-02  -3.0e-03   1.0e-04  2.0e-05  0.0\n";
        let fsl = "-0.000139  0.000215  -0  0.0112  0.0214  0.0097  \n";
        let cases = [
            ("rp_run.txt", spm, "SPM, without names over its columns: three translations in mm"),
            ("mc.par", fsl, "FSL, without names over its columns: three rotations in radians"),
            ("motion.1D", fsl, "AFNI, without names over its columns: three rotations in degrees"),
            ("motion.tsv", "0\t0\t0\t0\t0\t0\n", "six columns without names, perhaps motion"),
        ];
        let scratch = Scratch::new();
        for (name, text, expected) in cases {
            let said = ConfoundTable::read(scratch.file(name, text.as_bytes())).unwrap_err();
            let said = said.to_string();
            assert!(said.contains(&format!("{name}: row 1: it ")), "{said}");
            assert!(said.contains(expected) && said.contains("trans_x"), "{said}");
        }
        assert_eq!(problem(Path::new("c.tsv"), b"csf\ttrans_x\n"), None);
        let other = problem(Path::new("c.tsv"), b"1.0\t2.0\n").unwrap();
        assert_eq!(other, "expected the names of the columns");
        assert!(problem(Path::new("c.tsv.gz"), &[0x1f, 0x8b, 8]).unwrap().contains("gzip"));
    }
}
