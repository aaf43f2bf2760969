use super::*;

const HEADER: &str = "subject,session,scan,onset,duration,report,split";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("scans")).unwrap();
        for name in ["a.nii", "b.nii"] {
            std::fs::write(dir.path().join("scans").join(name), "").unwrap();
        }
        Self(dir)
    }

    fn read(&self, bytes: &[u8]) -> Result<PairsTable> {
        let path = self.0.path().join("pairs.csv");
        std::fs::write(&path, bytes).unwrap();
        read_pairs(path)
    }

    /// The sentence of the error without the folder.
    fn error(&self, header: &str, rows: &[&str]) -> String {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        let error = self.read(text.as_bytes()).unwrap_err().to_string();
        error.strip_prefix(&format!("{}/", self.0.path().display())).unwrap().to_owned()
    }
}

#[test]
fn a_table_in_any_column_order_with_reports_of_several_lines_is_read() {
    let folder = Folder::new();
    let text = "\u{feff}report,split,scan,onset,duration,subject,session\r\n\
        \"Faces, \"\"two\"\".\nSecond line.\",train,scans/a.nii,15,22.5,01,pre\r\n\
        Houses.,test,./scans/b.nii,1.5e1,0,02,pre\r\n";
    let table = folder.read(text.as_bytes()).unwrap();
    assert_eq!(table.pairs.len(), 2);
    let first = &table.pairs[0];
    assert_eq!(first.report, "Faces, \"two\".\nSecond line.");
    assert_eq!((first.row, first.onset, first.split), (2, 15.0, Split::Train));
    assert_eq!((table.pairs[1].row, table.pairs[1].subject.as_str()), (3, "02"));
    assert_eq!(table.scan_path(first), folder.0.path().join("scans/a.nii"));
    assert_eq!(table.of_split(Split::Test).count(), 1);
    for unit in [SplitUnit::Subject, SplitUnit::Session, SplitUnit::Scan] {
        table.check_splits(unit).unwrap();
    }
}

#[test]
fn columns_are_strict() {
    let folder = Folder::new();
    let row = "01,pre,scans/a.nii,15,22.5,Faces.,train";
    assert_eq!(
        folder.error(&HEADER.replace("onset", "onsett"), &[row]),
        "pairs.csv: unknown column \"onsett\", allowed are \
         subject, session, scan, onset, duration, report, split, site, sex, age"
    );
    let missing = folder.error("subject,session,scan,onset,report,split", &["01"]);
    assert_eq!(missing, "pairs.csv: column duration is missing");
    let double = folder.error(&HEADER.replace("duration", "onset"), &[row]);
    assert_eq!(double, "pairs.csv: column onset appears twice");
    assert_eq!(folder.error("", &[]), "pairs.csv: column subject is missing");
    assert_eq!(folder.error(HEADER, &[]), "pairs.csv: it has no rows");
    let short = folder.error(HEADER, &[row, "01,pre"]);
    assert_eq!(short, "pairs.csv: row 3: has 2 cells, expected 7 as in the header");
}

#[test]
fn a_site_may_be_named_in_every_row() {
    let folder = Folder::new();
    let header = format!("site,{HEADER}");
    let row = "01,pre,scans/a.nii,15,22.5,Faces.,train";
    let text = format!("{header}\n Lyon ,{row}\n");
    assert_eq!(folder.read(text.as_bytes()).unwrap().pairs[0].site.as_deref(), Some("Lyon"));
    for missing in ["", "n/a"] {
        let said = folder.error(&header, &[&format!("{missing},{row}")]);
        let expected = format!(
            "pairs.csv: row 2: column site is {missing:?}, expected where the person was scanned"
        );
        assert_eq!(said, expected);
    }
}

#[test]
fn every_bad_cell_is_named_by_row_and_column() {
    let cases = [
        ("../x,pre,scans/a.nii,15,2,Faces.,train", "subject is \"../x\", expected letters"),
        ("01,,scans/a.nii,15,2,Faces.,train", "session is \"\", expected letters"),
        ("01,a_b,scans/a.nii,15,2,Faces.,train", "session is \"a_b\", expected letters"),
        ("01,pre,,15,2,Faces.,train", "scan is \"\", expected the path"),
        ("01,pre,scans/c.nii,15,2,Faces.,train", "scan is \"scans/c.nii\", expected a file"),
        ("01,pre,scans,15,2,Faces.,train", "scan is \"scans\", expected a file"),
        ("01,pre,scans/a.nii,-1,2,Faces.,train", "onset is \"-1\", expected a finite"),
        ("01,pre,scans/a.nii,nan,2,Faces.,train", "onset is \"nan\", expected a finite"),
        ("01,pre,scans/a.nii,15 s,2,Faces.,train", "onset is \"15 s\", expected a finite"),
        ("01,pre,scans/a.nii,15,inf,Faces.,train", "duration is \"inf\", expected a finite"),
        ("01,pre,scans/a.nii,15,,Faces.,train", "duration is \"\", expected a finite"),
        ("01,pre,scans/a.nii,15,2,\" \n\",train", "report is \" \\n\", expected a text"),
        ("01,pre,scans/a.nii,15,2,Faces.,Train", "split is \"Train\", expected train, validation"),
    ];
    let folder = Folder::new();
    for (row, problem) in cases {
        let good = "01,pre,scans/b.nii,15,2,Houses.,train";
        let error = folder.error(HEADER, &[good, row]);
        let expected = format!("pairs.csv: row 3: column {problem}");
        assert!(error.starts_with(&expected), "{error} | {expected}");
    }
}

#[test]
fn text_that_is_no_table_is_refused() {
    let folder = Folder::new();
    let open = folder.error(HEADER, &["01,pre,scans/a.nii,15,2,\"Faces.,train"]);
    assert_eq!(open, "pairs.csv: a quotation mark is not closed");
    let latin = [HEADER.as_bytes(), b"\n01,pre,scans/a.nii,15,2,caf\xe9,train\n"].concat();
    let error = folder.read(&latin).unwrap_err().to_string();
    assert!(error.ends_with("row 2: cell 6 is not UTF-8"), "{error}");
    let missing = read_pairs(folder.0.path().join("none.csv")).unwrap_err().to_string();
    assert!(missing.contains("none.csv: cannot be read"), "{missing}");
}

#[test]
fn one_onset_of_one_scan_appears_once_however_the_scan_is_spelt() {
    let folder = Folder::new();
    let error = folder.error(
        HEADER,
        &[
            "01,pre,scans/a.nii,0,2,Faces.,train",
            "01,pre,./scans/../scans/a.nii,-0.0,2,Cats.,train",
        ],
    );
    assert!(error.starts_with("pairs.csv: rows 2 and 3 both hold scan"), "{error}");
}

#[test]
fn a_unit_in_two_splits_is_refused_by_name() {
    let folder = Folder::new();
    let read =
        |rows: &[&str]| folder.read(format!("{HEADER}\n{}\n", rows.join("\n")).as_bytes()).unwrap();
    let table = read(&[
        "01,pre,scans/a.nii,0,2,Faces.,train",
        "01,post,scans/b.nii,0,2,Faces.,test",
        "02,pre,scans/b.nii,9,2,Faces.,test",
    ]);
    let error = table.check_splits(SplitUnit::Subject).unwrap_err().to_string();
    let expected = "pairs.csv: subject 01 is in split train (row 2) and in split test (row 3)";
    assert!(error.ends_with(expected), "{error}");
    table.check_splits(SplitUnit::Session).unwrap();
    table.check_splits(SplitUnit::Scan).unwrap();

    let table = read(&[
        "01,pre,scans/a.nii,0,2,Faces.,choose",
        "02,pre,scans/b.nii,0,2,Faces.,test",
        "01,pre,scans/../scans/b.nii,5,2,Faces.,choose",
    ]);
    let error = table.check_splits(SplitUnit::Scan).unwrap_err().to_string();
    assert!(error.contains("is in split test (row 3) and in split validation (row 4)"), "{error}");
    table.check_splits(SplitUnit::Session).unwrap();

    let table =
        read(&["01,pre,scans/a.nii,0,2,Faces.,train", "01,pre,scans/a.nii,9,2,Faces.,test"]);
    let error = table.check_splits(SplitUnit::Session).unwrap_err().to_string();
    assert!(error.contains("session pre of subject 01"), "{error}");
}
