//! Small CIFTI files whose means are seen by eye, and scans of the other kind.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ndarray::{Array4, array};

use crate::{Inputs, Recording, steps::ParcellateConfig};

use super::*;

/// Structures of three vertices and one vertex.
fn places(left: &str) -> String {
    format!(
        r#"<MatrixIndicesMap AppliesToMatrixDimension="1" IndicesMapToDataType="CIFTI_INDEX_TYPE_BRAIN_MODELS"><BrainModel IndexOffset="0" IndexCount="3" ModelType="CIFTI_MODEL_TYPE_SURFACE" BrainStructure="CIFTI_STRUCTURE_CORTEX_LEFT" SurfaceNumberOfVertices="10"><VertexIndices>{left}</VertexIndices></BrainModel><BrainModel IndexOffset="3" IndexCount="1" ModelType="CIFTI_MODEL_TYPE_SURFACE" BrainStructure="CIFTI_STRUCTURE_CORTEX_RIGHT" SurfaceNumberOfVertices="10"><VertexIndices>1</VertexIndices></BrainModel></MatrixIndicesMap>"#
    )
}

const LABELS: &str = r#"<MatrixIndicesMap AppliesToMatrixDimension="0" IndicesMapToDataType="CIFTI_INDEX_TYPE_LABELS"><NamedMap><LabelTable><Label Key="0">???</Label><Label Key="1">A</Label><Label Key="2">B</Label><Label Key="3">C</Label></LabelTable><MapName>parcels</MapName></NamedMap></MatrixIndicesMap>"#;

const SERIES: &str = r#"<MatrixIndicesMap AppliesToMatrixDimension="0" IndicesMapToDataType="CIFTI_INDEX_TYPE_SERIES" NumberOfSeriesPoints="4" SeriesExponent="0" SeriesStart="0" SeriesStep="2" SeriesUnit="SECOND"/>"#;

/// A folder of scans and atlases; gone with the value.
struct Folder(tempfile::TempDir);

impl Inputs for Folder {
    fn place(&self, path: &Path) -> PathBuf {
        self.0.path().join(path)
    }

    fn digest(&self, path: &Path) -> crate::Result<String> {
        Ok(scan::sha256_scan(path)?)
    }
}

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        // vertices 0, 2 and 5 on the left, 1 on the right
        let labels = [[1.0], [1.0], [2.0], [2.0]];
        folder.cifti("a.dlabel.nii", LABELS, &places("0 2 5"), labels.as_flattened());
        // 5, 0 and 7 on the left: label 1 keeps one vertex, and 7 has no label
        let series = [
            [10.0, 20.0, 10.0, 20.0],
            [1.0, 3.0, 1.0, 3.0],
            [99.0, 98.0, 97.0, 96.0],
            [30.0, 40.0, 30.0, 50.0],
        ];
        folder.cifti("s.dtseries.nii", SERIES, &places("5 0 7"), series.as_flattened());
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        let affine = scan::Affine::new(rows).unwrap();
        let data = Array4::from_shape_fn((2, 2, 2, 4), |(x, _, _, t)| (100 + x + t * t) as f32);
        let run = scan::Bold::new(data, affine, 2.0).unwrap();
        scan::write_bold(folder.at("run.nii"), &run).unwrap();
        let labels = ndarray::Array3::from_shape_fn((2, 2, 2), |(x, _, _)| x as f32 + 1.0);
        let labels = scan::Volume::new(labels, run.affine().clone()).unwrap();
        scan::write_volume(folder.at("labels.nii"), &labels).unwrap();
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The header of a recorded file around other axes and values, column by column.
    fn cifti(&self, name: &str, rows: &str, columns: &str, values: &[f32]) {
        let recorded = "../../fixtures/scan/atlas.dlabel.nii";
        let recorded = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(recorded)).unwrap();
        let mut bytes = recorded[..552].to_vec();
        let xml = format!(r#"<CIFTI Version="2.0"><Matrix>{rows}{columns}</Matrix></CIFTI>"#);
        bytes.extend(xml.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(16), b' ');
        let n = bytes.len() as i64;
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(56, &((values.len() / 4) as i64).to_le_bytes());
        put(64, &4_i64.to_le_bytes());
        put(168, &n.to_le_bytes());
        put(544, &((n - 544) as i32).to_le_bytes());
        bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        fs::write(self.at(name), bytes).unwrap();
    }

    fn config(&self, labels: &str, more: &Value) -> ParcellateConfig {
        let mut config = json!({ "atlas": { "id": "small", "labels": self.at(labels) } });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        serde_json::from_value(config).unwrap()
    }

    fn scan(&self, name: &str) -> Recording {
        Recording {
            subject: "1".to_owned(),
            session: None,
            name: name.to_owned(),
            unit: name.to_owned(),
            file: name.to_owned(),
            path: self.at(name),
            sha256: None,
            t_r_s: None,
            n_frames: None,
            kept: None,
            confounds: None,
            coverage: None,
            stacked: None,
            events_s: Vec::new(),
        }
    }
}

fn whole(path: &Path) -> PathBuf {
    path.to_owned()
}

#[test]
fn a_dense_series_becomes_the_means_of_its_labels() {
    let folder = Folder::new();
    let config = folder.config("a.dlabel.nii", &json!({}));
    let atlas = config.read_atlas(&whole).unwrap();
    let dense = folder.scan("s.dtseries.nii");
    config.reads_some(&atlas, &[folder.scan("run.nii"), dense.clone()]).unwrap();
    let series = config.series(&atlas, &dense, None).unwrap();
    let expected = array![[1.0, 20.0, 0.0], [3.0, 30.0, 0.0], [1.0, 20.0, 0.0], [3.0, 35.0, 0.0]];
    assert_eq!(series.values, expected);
    assert_eq!((series.facts.t_r_s, series.facts.lost), (2.0, vec![3]));
    // one of the two vertices of label 1 is there, both of label 2
    assert_eq!(series.facts.coverage, Some(vec![0.5, 1.0, 0.0]));
}

/// Parcels of an atlas of four vertices whose labels have this table.
fn parcels(table: &str, labels: [[f32; 1]; 4]) -> Result<Vec<(i32, String)>> {
    let folder = Folder::new();
    let (start, end) = LABELS.split_once("<LabelTable>").unwrap();
    let (_, end) = end.split_once("</LabelTable>").unwrap();
    let rows = format!("{start}<LabelTable>{table}</LabelTable>{end}");
    folder.cifti("other.dlabel.nii", &rows, &places("0 2 5"), labels.as_flattened());
    let atlas = folder.config("other.dlabel.nii", &json!({})).read_atlas(&whole)?;
    Ok(atlas.parcels().iter().map(|it| (it.label, it.name.clone())).collect())
}

#[test]
fn the_background_is_the_key_named_so_and_keys_without_an_entry_are_none() {
    let named = |pairs: &[(i32, &str)]| -> Vec<(i32, String)> {
        pairs.iter().map(|(label, name)| (*label, (*name).to_owned())).collect()
    };
    let table = r#"<Label Key="0">???</Label><Label Key="1">A</Label><Label Key="2">B</Label>"#;
    for unknown in [3.0, -1.0] {
        let found = parcels(table, [[1.0], [unknown], [2.0], [2.0]]).unwrap();
        assert_eq!(found, named(&[(1, "A"), (2, "B")]));
    }
    // the region of key 0 and the background of key 6
    let table = r#"<Label Key="0">A</Label><Label Key="1">B</Label><Label Key="6">???</Label>"#;
    let found = parcels(table, [[0.0], [6.0], [1.0], [0.0]]).unwrap();
    assert_eq!(found, named(&[(0, "A"), (1, "B")]));
    // as other programs call it
    let table = r#"<Label Key="0">Medial_Wall</Label><Label Key="1">B</Label>"#;
    assert_eq!(parcels(table, [[0.0], [0.0], [1.0], [0.0]]).unwrap(), named(&[(1, "B")]));
    let said = parcels(table, [[7.0], [0.0], [0.0], [7.0]]).unwrap_err().to_string();
    assert!(said.ends_with("holds no label but background"), "{said}");
}

#[test]
fn of_several_maps_one_is_named() {
    let folder = Folder::new();
    let (start, map) = LABELS.split_once("<NamedMap>").unwrap();
    let map = map.strip_suffix("</MatrixIndicesMap>").unwrap();
    let fine = map.replace("parcels", "fine").replace(">A<", ">a<");
    let rows = format!("{start}<NamedMap>{map}<NamedMap>{fine}</MatrixIndicesMap>");
    // a row a map, column by column
    let labels = [[1.0, 1.0], [1.0, 2.0], [2.0, 3.0], [2.0, 0.0]];
    folder.cifti("two.dlabel.nii", &rows, &places("0 2 5"), labels.as_flattened());
    let read = |map: Option<Value>| {
        let mut config = json!({ "id": "two", "labels": folder.at("two.dlabel.nii") });
        map.into_iter().for_each(|map| config["map"] = map);
        let config: AtlasFiles = serde_json::from_value(config).unwrap();
        config.read(&whole).map(|atlas| atlas.parcels()[0].name.clone())
    };
    assert_eq!(read(Some(json!("parcels"))).unwrap(), "A");
    assert_eq!(read(Some(json!("fine"))).unwrap(), "a");
    assert_eq!(read(Some(json!(2))).unwrap(), "a");
    let said = read(None).unwrap_err().to_string();
    assert!(
        said.contains(r#"holds 2 maps of labels ("parcels", "fine"), expected `map`"#),
        "{said}"
    );
}

#[test]
fn series_that_are_parcelled_need_tables_alone() {
    let folder = Folder::new();
    fs::write(folder.at("names.txt"), "Background\nFirst\nSecond\n").unwrap();
    fs::write(folder.at("places.txt"), "0 -40 0 0\n1 40 0 0\n").unwrap();
    fs::write(folder.at("s.tsv"), "17\t199\n0.5\t4\n0.25\t6\n1.5\t5\n").unwrap();
    let listed = |atlas: Value| -> ParcellateConfig {
        serde_json::from_value(json!({ "atlas": atlas })).unwrap()
    };
    let config = listed(json!({
        "id": "two", "names": folder.at("names.txt"), "coordinates": folder.at("places.txt"),
    }));
    let atlas = config.read_atlas(&whole).unwrap();
    assert_eq!((atlas.n_parcels(), &atlas.parcels()[1].name[..]), (2, "Second"));
    assert_eq!(atlas.parcels()[1].centre_mm, Some([40.0, 0.0, 0.0]));
    let scan = Recording { t_r_s: Some(2.0), ..folder.scan("s.tsv") };
    let series = config.series(&atlas, &scan, None).unwrap();
    assert_eq!(series.values, array![[0.5, 4.0], [0.25, 6.0], [1.5, 5.0]]);
    let said = config.series(&atlas, &folder.scan("run.nii"), None).unwrap_err().to_string();
    assert!(said.contains("a run of volumes, but the atlas only lists parcels"), "{said}");
    let said = listed(json!({ "id": "none" })).read_atlas(&whole).unwrap_err().to_string();
    assert!(said.contains("the atlas has no files: give atlas.labels, or atlas.names"), "{said}");
}

#[test]
fn a_scan_of_the_other_kind_is_told_before_it_is_read_and_as_it_is_read() {
    let folder = Folder::new();
    let cases = [
        ("a.dlabel.nii", "run.nii", "a run of volumes, but the atlas has labels of vertices"),
        ("labels.nii", "s.dtseries.nii", "a series of grayordinates, but the atlas is an image"),
    ];
    for (labels, scan, expected) in cases {
        let config = folder.config(labels, &json!({}));
        let atlas = config.read_atlas(&whole).unwrap();
        let scan = folder.scan(scan);
        let planned = config.reads_some(&atlas, std::slice::from_ref(&scan)).unwrap_err();
        let read = config.series(&atlas, &scan, None).unwrap_err();
        for said in [planned.to_string(), read.to_string()] {
            assert!(said.contains(expected), "{said}");
            assert_eq!(said.lines().count(), 1);
        }
    }
    // as many vertices in the files, of a finer mesh
    let finer = places("0 2 5").replace("Vertices=\"10\"", "Vertices=\"20\"");
    let labels = [[1.0], [1.0], [2.0], [2.0]];
    folder.cifti("finer.dlabel.nii", LABELS, &finer, labels.as_flattened());
    let dense = folder.config("finer.dlabel.nii", &json!({}));
    let atlas = dense.read_atlas(&whole).unwrap();
    let scan = folder.scan("s.dtseries.nii");
    let planned = dense.reads_some(&atlas, std::slice::from_ref(&scan)).unwrap_err();
    let read = dense.series(&atlas, &scan, None).unwrap_err();
    for said in [planned.to_string(), read.to_string()] {
        let expected = "CORTEX_LEFT has a mesh of 10 vertices, the atlas one of 20";
        assert!(said.ends_with(expected), "{said}");
    }
    let image = folder.config("labels.nii", &json!({}));
    let atlas = image.read_atlas(&whole).unwrap();
    let series = image.series(&atlas, &folder.scan("run.nii"), None).unwrap();
    assert_eq!(series.values.row(1), array![101.0, 102.0]);
}

#[test]
fn names_and_places_of_vertices_come_from_tables() {
    let folder = Folder::new();
    fs::write(folder.at("names.txt"), "1 First\n2 Second\n3 Third\n").unwrap();
    fs::write(folder.at("places.txt"), "1 -40 0 0\n2 40 0 0\n3 0 20 0\n").unwrap();
    let atlas = json!({
        "id": "small", "labels": folder.at("a.dlabel.nii"),
        "names": folder.at("names.txt"), "coordinates": folder.at("places.txt"),
    });
    let check = json!({ "atlas": atlas, "mirror_check": { "margin": 0.1 } });
    let read = folder.config("a.dlabel.nii", &check).read_atlas(&whole).unwrap();
    assert_eq!(read.parcels()[1].name, "Second");
    assert_eq!(read.parcels()[1].centre_mm, Some([40.0, 0.0, 0.0]));
    let unplaced = folder.config("a.dlabel.nii", &json!({ "mirror_check": { "margin": 0.1 } }));
    let said = unplaced.read_atlas(&whole).unwrap_err().to_string();
    assert!(said.ends_with("needs the place of every parcel: give atlas.coordinates"), "{said}");
}

#[test]
fn settings_about_voxels_are_refused_for_vertices() {
    let folder = Folder::new();
    let mean = json!({ "grid": "data", "reduction": "mean" });
    let cases = [
        ("reduction", json!("median"), "extract.reduction is median, expected mean, because"),
        ("grid", json!("labels"), "extract.grid is labels, expected data, because"),
        (
            "smoothing_fwhm_mm",
            json!([4.0, 4.0, 4.0]),
            "extract.smoothing_fwhm_mm is [4.0,4.0,4.0], expected null, because",
        ),
        (
            "brainlm_toolkit_compat",
            json!(true),
            "extract.brainlm_toolkit_compat is true, expected false, because",
        ),
    ];
    for (key, value, expected) in cases {
        let mut extract = mean.clone();
        extract[key] = value;
        let more = json!({ "extract": extract });
        let said = folder.config("a.dlabel.nii", &more).read_atlas(&whole).unwrap_err();
        assert!(said.to_string().contains(expected), "{said}");
        folder.config("labels.nii", &more).read_atlas(&whole).unwrap();
    }
}

#[test]
fn surface_series_become_the_means_of_labels_and_annotations() {
    let surface = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surface").join(name)
    };
    let folder = Folder::new();
    let scan = Recording {
        path: surface("sub-01_task-rest_hemi-R_space-fsaverage_bold.func.gii"),
        ..folder.scan("run")
    };
    // numpy's, of files that nibabel wrote
    let facts: Value =
        serde_json::from_slice(&fs::read(surface("expected.json")).unwrap()).unwrap();
    for (labels, key) in
        [("atlas_hemi-L.label.gii", "label_means"), ("lh.test.annot", "annot_means")]
    {
        let config = json!({ "atlas": { "id": "small", "labels": surface(labels) } });
        let config: ParcellateConfig = serde_json::from_value(config).unwrap();
        let atlas = config.read_atlas(&whole).unwrap();
        config.reads_some(&atlas, std::slice::from_ref(&scan)).unwrap();
        let series = config.series(&atlas, &scan, None).unwrap();
        assert_eq!((series.facts.t_r_s, series.facts.n_frames), (2.0, 5));
        let expected: Vec<Vec<f64>> = serde_json::from_value(facts[key].clone()).unwrap();
        assert_eq!(series.values.ncols(), expected.len());
        for (column, expected) in series.values.columns().into_iter().zip(&expected) {
            for (found, expected) in column.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} {expected}");
            }
        }
    }
    let config = folder.config("labels.nii", &json!({}));
    let atlas = config.read_atlas(&whole).unwrap();
    let said = config.series(&atlas, &scan, None).unwrap_err().to_string();
    assert!(said.contains("the atlas is an image of labels"), "{said}");
    // one array of two axes that nothing tells apart is refused by its header
    let text = fs::read(surface("one_hemi-L.gii")).unwrap();
    fs::write(folder.at("lh.gii"), text).unwrap();
    let alone = json!({ "atlas": { "id": "small", "labels": surface("lh.old.annot") } });
    let alone: ParcellateConfig = serde_json::from_value(alone).unwrap();
    let atlas = alone.read_atlas(&whole).unwrap();
    let scan = Recording { t_r_s: Some(2.0), ..folder.scan("lh.gii") };
    let said = alone.reads_some(&atlas, std::slice::from_ref(&scan)).unwrap_err().to_string();
    assert!(said.contains("12 × 5, and either axis may be time"), "{said}");
    let turned = ParcellateConfig { axes: Some(scan::SeriesAxes::ParcelsTime), ..alone };
    assert_eq!(turned.series(&atlas, &scan, None).unwrap().values.dim(), (5, 2));
}

#[test]
fn the_good_components_of_a_table_are_those_that_the_atlas_lists() {
    // 25 components without names as UK Biobank's dual regression writes them; four are noise
    let folder = Folder::new();
    let row =
        |t: usize| (0..25).map(|c| format!("{}.{}", c + 1, t + 1)).collect::<Vec<_>>().join("  ");
    let table: Vec<String> = (0..4).map(row).collect();
    fs::write(folder.at("dr_stage1.txt"), table.join("\n")).unwrap();
    let good: Vec<usize> = (1..=22).filter(|n| *n != 4).collect();
    let names: Vec<String> = good.iter().map(|n| format!("{n} IC{n}")).collect();
    fs::write(folder.at("names.txt"), names.join("\n")).unwrap();
    let config = |columns: Option<usize>| -> ParcellateConfig {
        let atlas = json!({ "id": "d25", "names": folder.at("names.txt") });
        serde_json::from_value(json!({ "atlas": atlas, "columns": columns })).unwrap()
    };
    let scan = Recording { t_r_s: Some(0.735), ..folder.scan("dr_stage1.txt") };
    let chosen = config(Some(25));
    let atlas = chosen.read_atlas(&whole).unwrap();
    let recordings = std::slice::from_ref(&scan);
    let planned = crate::Planned { inputs: &folder, recordings, stack: None };
    chosen.some_have_the_parcels(&atlas, planned).unwrap();
    let series = chosen.series(&atlas, &scan, None).unwrap();
    let expected: Vec<f64> = good.iter().map(|&n| n as f64 + 0.4).collect();
    assert_eq!((series.values.dim(), series.values.row(3).to_vec()), ((4, 21), expected));
    assert_eq!(atlas.parcels()[3].name, "IC5");
    for (columns, expected) in [
        (None, "dr_stage1.txt has 4 rows and 25 columns, expected the 21 parcels of atlas d25"),
        (
            Some(100),
            "dr_stage1.txt has 4 rows and 25 columns, expected 100 columns as `columns` says",
        ),
    ] {
        let other = config(columns);
        let said = other.some_have_the_parcels(&atlas, planned);
        assert!(said.unwrap_err().to_string().ends_with(expected), "{expected}");
    }
    let said = config(Some(21)).read_atlas(&whole).unwrap_err().to_string();
    assert!(
        said.contains(
            "columns is 21, expected as many as the atlas counts to, which has number 22"
        ),
        "{said}"
    );
}

#[test]
fn an_atlas_keeps_the_endings_of_its_files() {
    let name = |file: &str| inside("labels", Path::new(file)).display().to_string();
    assert_eq!(name("/data/A424+2mm.v2.nii.gz"), "atlas/labels.nii.gz");
    assert_eq!(name("a.hdr"), "atlas/labels.hdr");
    assert_eq!(name("coordinates"), "atlas/labels");
}
