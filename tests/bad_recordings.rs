//! One damaged recording among whole ones: it fails with one sentence, the others are complete, and
//! `scan inspect` says the same.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tests::{Stored, Synthetic, root, run};

const ENCODE: &str = "encode-cohort";

/// What a file says of itself, and what is said of it.
struct Bad {
    name: &'static str,
    bytes: Vec<u8>,
    /// Whether the table says the repetition time that the file may lack.
    timed: bool,
    /// What `scan inspect` says; nothing where it can tell what is there.
    inspected: Option<&'static str>,
    /// Why the recording is left out.
    reason: &'static str,
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}

/// A run's bytes with fields of its header overwritten, at offsets of nifti1.h.
fn patched(run: &[u8], patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = run.to_vec();
    for (offset, field) in patches {
        bytes[*offset..*offset + field.len()].copy_from_slice(field);
    }
    bytes
}

fn sizes(sizes: &[i16]) -> Vec<u8> {
    sizes.iter().flat_map(|size| size.to_le_bytes()).collect()
}

/// Every header field that makes no sense, every stream that ends early or never.
fn images(run: &[u8]) -> Vec<Bad> {
    let number = |x: f32| x.to_le_bytes();
    let (nan, zero, minus) = (number(f32::NAN), number(0.0), number(-2.0));
    let mut turned = run.to_vec();
    turned[..4].reverse();
    let endless = {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(run).expect("memory");
        io::copy(&mut io::repeat(0).take(100 << 20), &mut out).expect("memory");
        out.finish().expect("memory")
    };
    let packed = gzip(run);
    let of = |name, bytes, said| Bad {
        name,
        bytes,
        timed: false,
        inspected: said,
        reason: said.unwrap_or(""),
    };
    let field =
        |name, patches: &[(usize, &[u8])], said| of(name, patched(run, patches), Some(said));
    let claim = sizes(&[4, 1000, 1000, 1000, 9]);
    let claims = patched(run, &[(40, &claim), (70, &sizes(&[16, 32]))]);
    let untimed = |name, t_r: &[u8], reason| {
        let bytes = patched(run, &[(92, t_r)]);
        Bad { name, bytes, timed: false, inspected: None, reason }
    };
    vec![
        of(
            "claims.nii",
            claims[..377].to_vec(),
            Some("holds 377 bytes, its header promises 36000000352"),
        ),
        field("minus.nii", &[(42, &sizes(&[-14]))], "expected a positive size for each axis"),
        field("none.nii", &[(48, &sizes(&[0]))], "expected a positive size for each axis"),
        field(
            "inter.nii",
            &[(112, &number(1.0)), (116, &nan)],
            "scl_inter is NaN, expected a finite",
        ),
        field("start.nii", &[(108, &zero)], "vox_offset is 0, expected a whole number"),
        field("before.nii", &[(108, &minus)], "vox_offset is -2, expected a whole number"),
        field("nowhere.nii", &[(108, &nan)], "vox_offset is NaN, expected a whole number"),
        field("beyond.nii", &[(108, &number(1e9))], "its header promises 1000"),
        untimed("t_r_zero.nii", &zero, "pixdim[4] is 0, expected a positive finite number"),
        untimed("t_r_minus.nii", &minus, "pixdim[4] is -2, expected a positive finite number"),
        untimed("t_r_nan.nii", &nan, "pixdim[4] is NaN, expected a positive finite number"),
        of("turned.nii", turned, Some("dim[0] is 1024, expected a number of axes from 1 to 7")),
        of("short.nii", run[..run.len() - 1].to_vec(), Some("its header promises")),
        of(
            "cut.nii.gz",
            packed[..packed.len() / 2].to_vec(),
            Some("gzip stream ends early or is damaged"),
        ),
        of(
            "unfinished.nii.gz",
            packed[..packed.len() - 4].to_vec(),
            Some("gzip stream ends early"),
        ),
        of("endless.nii.gz", endless, Some("goes on for more than 67108864 bytes")),
    ]
}

/// What the library would follow, unpack or make of HDF5, and programs that would be run.
fn others() -> Vec<Bad> {
    let stored = |path: &str| fs::read(root().join(path)).expect("a fixture");
    let of = |name, bytes, inspected, reason| Bad { name, bytes, timed: true, inspected, reason };
    let h5 = |name: &'static str, reason| {
        of(name, stored(&format!("fixtures/scan/refused/{name}")), None, reason)
    };
    let truncated = stored("fixtures/oracles/hdf5_cifti/bad_truncated.h5");
    let mut objects =
        b"\x93NUMPY\x01\0\x76\0{'descr': '|O', 'fortran_order': False, 'shape': (40, 424), }"
            .to_vec();
    objects.resize(127, b' ');
    objects.extend(b"\n\x80\x04K\x01.");
    vec![
        h5("external_link.h5", "lies behind a link to another file, which is never followed"),
        h5("soft_link_loop.h5", "is a link that leads nowhere or in a circle"),
        h5("objects.h5", "holds references to objects, expected numbers"),
        h5("packed_twice.h5", "is packed twice, which is not read"),
        h5("zstd.h5", "is packed by zstd (filter 32015), which is not read"),
        of("truncated.h5", truncated, Some("truncated file"), "truncated file"),
        of("objects.npy", objects, Some("elements of type |O"), "elements of type |O"),
        of(
            "program.pt",
            stored("fixtures/formats/malicious.pt"),
            Some("`posix.system`"),
            "`posix.system`",
        ),
    ]
}

#[test]
fn each_damaged_recording_fails_alone() {
    let it = Synthetic::new(2, Stored::Mixed, ENCODE);
    it.edit_pipeline(
        "  bids:\n    dir: bids\n    entities: { task: [rest] }\n",
        "  manifest:\n    table: people.csv\n",
    );
    it.edit_pipeline("run: inverse_fd", "run: mean");
    let mut whole = Vec::new();
    let scan = fs::File::open(it.scan(0)).expect("a scan");
    GzDecoder::new(scan).read_to_end(&mut whole).expect("a gzip file");
    let bad: Vec<Bad> = images(&whole).into_iter().chain(others()).collect();

    let mut table = "eid,scan,t_r\n".to_owned();
    for person in 0..2 {
        let scan =
            it.scan(person).strip_prefix(it.dir()).expect("it lies there").display().to_string();
        writeln!(table, "{:02},{scan},", person + 1).expect("memory");
    }
    for (at, bad) in bad.iter().enumerate() {
        let path = it.dir().join(bad.name);
        fs::write(&path, &bad.bytes).expect("writable");
        let ran = run(&["scan", "inspect", path.to_str().expect("letters")]);
        if let Some(said) = bad.inspected {
            let ran = ran.exits_with(2);
            assert!(ran.one_error().contains(said) && ran.stderr.lines().count() == 1, "{ran}");
            assert_eq!(ran.stdout, "", "{ran}");
        } else {
            assert!(ran.exits_with(0).stderr.is_empty());
        }
        let t_r = if bad.timed { "0.735" } else { "" };
        writeln!(table, "{},{},{t_r}", 10 + at, bad.name).expect("memory");
    }
    // who is not a label, and who leads out of the folder
    let outside = it.dir().parent().expect("a folder around it").join("outside.nii");
    fs::write(&outside, &whole).expect("writable");
    std::os::unix::fs::symlink(&outside, it.dir().join("link.nii")).expect("a link");
    for row in ["sub-../../x,bids/x.nii,", "80,../outside.nii,", "81,link.nii,"] {
        writeln!(table, "{row}").expect("memory");
    }
    fs::write(it.dir().join("people.csv"), table).expect("writable");

    let ran = it.run(&[]).exits_with(1);
    let people = tables::read(it.result(ENCODE, "embeddings.parquet")).expect("embeddings");
    assert_eq!(people.n_rows(), 2, "{ran}");
    let status = fs::read_to_string(it.result(ENCODE, "status.tsv")).expect("a record");
    for (at, bad) in bad.iter().enumerate() {
        let row = status.lines().find(|line| line.starts_with(&format!("{}\t", 10 + at)));
        let row = row.expect("a row for everybody");
        assert!(row.contains("FAIL") && row.contains(bad.reason), "{}: {row}", bad.name);
    }
    assert_eq!(status.lines().count(), 1 + 2 + bad.len() + 3, "{status}");
    assert!(nothing_half_written(it.dir()), "{ran}");
}

fn nothing_half_written(folder: &Path) -> bool {
    let is_hidden = |path: &Path| {
        let inside = path.strip_prefix(folder).expect("it lies below");
        inside.iter().any(|part| part.to_string_lossy().starts_with('.'))
    };
    !tests::files_below(folder).iter().any(|path| is_hidden(path))
}
