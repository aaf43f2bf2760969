//! What is written reads back, and what others wrote reads as they meant it.

use hdf5::File;
use ndarray::{Array2, Array3, Array4, array};
use proptest::prelude::*;

use super::{
    Attribute, CohortFile, CohortWriter, Hdf5File,
    testing::{recorded, say, small, table},
    write_hdf5,
};
use crate::{
    Parcel, ParcelSeries, SeriesAxes,
    nii::testing::Scratch,
    open::{OpenOptions, Scan, Space, VolumeAxes, open},
    tables::read_series,
};

fn parcels(n: usize) -> Vec<Parcel> {
    let parcel = |index: usize| Parcel {
        label: 2 * index as i32 + 1,
        name: format!("é {index}"),
        centre_mm: (index != 1).then_some([index as f64, -0.25, 1e-3]),
    };
    (0..n).map(parcel).collect()
}

fn series(values: Array2<f64>) -> ParcelSeries {
    let parcels = parcels(values.ncols());
    ParcelSeries {
        values,
        t_r: 0.735,
        parcels,
        lost: vec![7, 9],
        coverage: None,
        n_nonfinite_frames: 0,
    }
}

fn axes(axes: SeriesAxes) -> OpenOptions {
    OpenOptions { axes: Some(axes), ..OpenOptions::default() }
}

#[test]
fn the_order_of_axes_is_given_recognised_or_refused() {
    let scratch = Scratch::new();
    let path = scratch.path("ts.h5");
    small(&path).close().unwrap();
    let read = |options: &OpenOptions| read_series(&path, options);
    assert_eq!(read(&axes(SeriesAxes::TimeParcels)).unwrap().values, table(4, 3));
    assert_eq!(read(&axes(SeriesAxes::ByParcels(3))).unwrap().values, table(4, 3));
    assert_eq!(read(&axes(SeriesAxes::ByParcels(4))).unwrap().values, table(4, 3).reversed_axes());
    let silent = read(&OpenOptions::default()).unwrap_err().to_string();
    assert!(silent.contains("/ts: which axis is time is not said; give `axes`"), "{silent}");
    let other = read(&axes(SeriesAxes::ByParcels(424))).unwrap_err().to_string();
    assert!(other.contains("the table is 4 × 3 and no axis is of 424 parcels"), "{other}");
}

#[test]
fn a_square_table_needs_a_word() {
    let scratch = Scratch::new();
    let path = scratch.path("square.h5");
    let file = File::create(&path).unwrap();
    let square = file.new_dataset_builder().with_data(&table(4, 4)).create("ts").unwrap();
    square.new_attr::<f64>().create("TR").unwrap().write_scalar(&2.0).unwrap();
    let both = read_series(&path, &axes(SeriesAxes::ByParcels(4))).unwrap_err().to_string();
    assert!(both.contains("the table is 4 × 4 and both axes are of 4 parcels"), "{both}");
    say(&square, "axis_order", "parcels,time");
    drop((square, file));
    let by_word = read_series(&path, &axes(SeriesAxes::ByParcels(4))).unwrap();
    assert_eq!(by_word.values, table(4, 4).reversed_axes());
}

#[test]
fn the_repetition_time_is_looked_for_from_the_dataset_to_the_root() {
    let scratch = Scratch::new();
    let path = scratch.path("t_r.h5");
    let file = File::create(&path).unwrap();
    let group = file.create_group("a").unwrap().create_group("b").unwrap();
    group.new_dataset_builder().with_data(&table(4, 3)).create("ts").unwrap();
    let source = |options: &OpenOptions| {
        let opened = open(&path, options)?;
        Ok::<_, crate::Error>((opened.t_r().unwrap(), opened.t_r_source))
    };
    let options = axes(SeriesAxes::TimeParcels);
    let silent = source(&options).unwrap_err().to_string();
    assert!(silent.ends_with("the file does not say it, so it must be given (`t_r`)"), "{silent}");
    file.new_attr::<f64>().create("RepetitionTime").unwrap().write_scalar(&3.0).unwrap();
    assert_eq!(source(&options).unwrap(), (3.0, "attribute RepetitionTime of a group in s".into()));
    group.new_dataset_builder().with_data(&[720.0]).create("tr").unwrap();
    let unit = source(&options).unwrap_err().to_string();
    assert!(unit.ends_with("dataset tr is 720 s, expected 0.05 to 30 s"), "{unit}");
    say(&group.dataset("tr").unwrap(), "units", "ms");
    assert_eq!(source(&options).unwrap(), (0.72, "dataset tr in ms".into()));
    let given = OpenOptions { t_r: Some(1.5), ..options };
    assert_eq!(source(&given).unwrap(), (1.5, "given".into()));
}

#[test]
fn attributes_scale_stored_numbers_unless_they_are_asked_not_to() {
    let scratch = Scratch::new();
    let path = scratch.path("scaled.h5");
    let file = File::create(&path).unwrap();
    let stored = array![[1_i16, -2], [300, 4], [5, 6]];
    let dataset = file.new_dataset_builder().with_data(&stored).create("ts").unwrap();
    for (name, value) in [("TR", 2.0), ("scale_factor", 0.5), ("add_offset", 10.0)] {
        dataset.new_attr::<f64>().create(name).unwrap().write_scalar(&value).unwrap();
    }
    let options = axes(SeriesAxes::TimeParcels);
    let expected = array![[10.5, 9.0], [160.0, 12.0], [12.5, 13.0]];
    assert_eq!(read_series(&path, &options).unwrap().values, expected);
    let plain = OpenOptions { stored_numbers: true, ..options.clone() };
    assert_eq!(read_series(&path, &plain).unwrap().values, stored.mapv(f64::from));
    dataset.attr("scale_factor").unwrap().write_scalar(&0.0).unwrap();
    let zero = read_series(&path, &options).unwrap_err().to_string();
    assert!(zero.contains("is scaled by scale_factor 0 and add_offset 10, expected"), "{zero}");
    // a summand needs no factor, and a factor is one number
    dataset.delete_attr("scale_factor").unwrap();
    assert_eq!(read_series(&path, &options).unwrap().values[[0, 0]], 11.0);
    let factors = dataset.new_attr_builder().with_data(&[0.5, 2.0]).create("scale_factor");
    factors.unwrap();
    let vector = read_series(&path, &options).unwrap_err().to_string();
    assert!(vector.contains("an attribute scale_factor that is not one number"), "{vector}");
}

#[test]
fn the_only_dataset_that_could_be_a_scan_is_taken() {
    let scratch = Scratch::new();
    let path = scratch.path("many.h5");
    let file = small(&path);
    file.new_dataset_builder().with_data(&[1.0, 2.0]).create("age").unwrap();
    let options = axes(SeriesAxes::TimeParcels);
    assert!(read_series(&path, &options).is_ok());
    file.new_dataset_builder().with_data(&table(4, 3)).create("other").unwrap();
    let two = read_series(&path, &options).unwrap_err().to_string();
    assert!(
        two.contains("holds 2 datasets that could be the scan; name one with `dataset`"),
        "{two}"
    );
    let named = OpenOptions { dataset: Some("/ts".to_owned()), ..options };
    assert!(read_series(&path, &named).is_ok());
}

#[test]
fn a_file_of_matlab_has_matlabs_axes_and_texts() {
    let path = recorded("matlab73_like.mat");
    let file = Hdf5File::open(&path).unwrap();
    assert_eq!(file.read("tc").unwrap().shape(), [90, 20]);
    assert_eq!(file.read_texts("subject").unwrap(), ["sub-0007"]);
    assert_eq!(file.read_texts("roi_names").unwrap(), ["LH_Vis_1", "RH_DMN_é2", "Cer"]);
    let opened = open(&path, &axes(SeriesAxes::ByParcels(20))).unwrap();
    assert_eq!((opened.t_r(), opened.t_r_source.as_str()), (Some(0.72), "dataset TR in s"));
    let Scan::Series(series) = opened.scan else { panic!("a series") };
    assert_eq!(series.values.dim(), (90, 20));
}

#[test]
fn a_cohort_is_read_one_subject_at_a_time() {
    let options = OpenOptions { t_r: Some(0.72), ..OpenOptions::default() };
    let Scan::Cohort(cohort) = open(recorded("cohort.h5"), &options).unwrap().scan else {
        panic!("a cohort")
    };
    let subjects = ["sub-0003", "sub-0010_é", "sub-0017", "sub-0024", "sub-0031"];
    assert_eq!(cohort.subjects(), subjects);
    assert_eq!((cohort.max_frames(), cohort.n_parcels(), cohort.t_r()), (90, 48, Some(0.72)));
    let Attribute::Numbers(n_frames) = cohort.column("n_volumes").unwrap() else { panic!() };
    let all = Hdf5File::open(recorded("cohort.h5")).unwrap().read("parcel_ts").unwrap();
    let read = |(index, subject): (usize, &&str)| {
        let series = cohort.read(subject).unwrap();
        assert_eq!(series.n_frames() as f64, n_frames[index]);
        let expected = all.index_axis(ndarray::Axis(0), index);
        let kept = expected.slice_axis(ndarray::Axis(0), (..series.n_frames()).into());
        assert_eq!(series.values.into_dyn(), kept);
    };
    // the library has one lock: many threads wait for each other, and none for ever
    std::thread::scope(|scope| {
        for case in subjects.iter().enumerate().cycle().take(20) {
            scope.spawn(move || read(case));
        }
    });
    let names = cohort.column_names().unwrap();
    assert_eq!(names, ["age", "n_volumes", "subject_ids_fixed"]);
    let missing = cohort.read("sub-0099").unwrap_err().to_string();
    assert!(missing.ends_with("holds no subject \"sub-0099\" among its 5"), "{missing}");
    assert!(cohort.read_at(5).is_err());
}

#[test]
fn ids_must_be_one_a_subject_and_each_once() {
    let scratch = Scratch::new();
    let path = scratch.path("ids.h5");
    let file = File::create(&path).unwrap();
    let values = Array3::<f64>::zeros((2, 4, 3));
    file.new_dataset_builder().with_data(&values).create("parcel_ts").unwrap();
    let options = OpenOptions { t_r: Some(2.0), ..OpenOptions::default() };
    let problem = || CohortFile::open(&path, &options).unwrap_err().to_string();
    assert!(problem().contains("has three axes, but no `subject_ids` stand beside it"));
    file.new_dataset_builder().with_data(&[10, 11, 12]).create("subject_ids").unwrap();
    assert!(problem().ends_with("/subject_ids holds 3 ids for 2 subjects of the series"));
    file.unlink("subject_ids").unwrap();
    file.new_dataset_builder().with_data(&[10, 10]).create("subject_ids").unwrap();
    assert!(problem().ends_with("/subject_ids holds an id twice"));
    file.unlink("subject_ids").unwrap();
    file.new_dataset_builder().with_data(&[10, 11]).create("subject_ids").unwrap();
    let cohort = CohortFile::open(&path, &options).unwrap();
    assert_eq!(cohort.subjects(), ["10", "11"]);
    assert_eq!(cohort.read("11").unwrap().values, Array2::<f64>::zeros((4, 3)));
}

#[test]
fn subjects_may_differ_in_repetition_time() {
    let scratch = Scratch::new();
    let path = scratch.path("t_r.h5");
    std::fs::copy(recorded("cohort.h5"), &path).unwrap();
    let silent = OpenOptions::default();
    let cohort = CohortFile::open(&path, &silent).unwrap();
    assert_eq!((cohort.t_r(), cohort.t_r_source()), (Some(0.72), "attribute TR of a group in s"));
    drop(cohort);
    let file = File::open_rw(&path).unwrap();
    file.dataset("tr").unwrap().write(&[0.5, 0.75, 1.0, 2.0, 3.0]).unwrap();
    file.close().unwrap();
    let cohort = CohortFile::open(&path, &silent).unwrap();
    assert_eq!((cohort.t_r(), cohort.read_at(3).unwrap().t_r), (None, 2.0));
    assert_eq!(cohort.t_r_source(), "dataset tr, one value a subject, in s");
    let given = OpenOptions { t_r: Some(1.5), ..silent };
    assert_eq!(CohortFile::open(&path, &given).unwrap().t_r(), Some(1.5));
}

#[test]
fn four_axes_are_a_run_that_needs_a_place() {
    let scratch = Scratch::new();
    let path = scratch.path("run.h5");
    let file = File::create(&path).unwrap();
    let values = Array4::from_shape_fn((5, 4, 3, 2), |(t, z, y, x)| {
        (t * 1000 + z * 100 + y * 10 + x) as f32
    });
    file.new_dataset_builder().with_data(&values).create("bold").unwrap();
    let options =
        OpenOptions { t_r: Some(2.0), volume_axes: VolumeAxes::Tzyx, ..OpenOptions::default() };
    let nowhere = open(&path, &options).unwrap_err().to_string();
    assert!(nowhere.contains("does not say where its voxels lie; give `space`"), "{nowhere}");
    let named = OpenOptions { space: Some(Space::FslMni2mm), ..options.clone() };
    let other = open(&path, &named).unwrap_err().to_string();
    assert!(other.contains("grid is [2, 3, 4], expected [91, 109, 91]"), "{other}");
    let rows =
        [[2.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 0.0, 1.0]];
    let placed = OpenOptions { space: Some(Space::Affine(rows)), ..options };
    let Scan::Bold(bold) = open(&path, &placed).unwrap().scan else { panic!("a run") };
    assert_eq!((bold.grid_shape(), bold.n_frames()), ([2, 3, 4], 5));
    assert_eq!(bold.data()[[1, 2, 3, 4]], 4321.0);
}

#[test]
fn a_lock_that_somebody_holds_does_not_stop_a_reader() {
    let scratch = Scratch::new();
    let path = scratch.path("locked.h5");
    write_hdf5(&path, &series(array![[1.0, 2.0], [3.0, 4.0]])).unwrap();
    let held = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    held.lock().unwrap();
    Hdf5File::open(&path).unwrap();
}

#[test]
fn a_written_file_is_whole_or_not_there() {
    let scratch = Scratch::new();
    let path = scratch.path("cohort.h5");
    let like = series(table(4, 3));
    let mut writer = CohortWriter::create(&path, 4, &like).unwrap();
    writer.push("a", &like).unwrap();
    assert!(writer.push("a", &like).unwrap_err().to_string().contains("cannot hold the id \"a\""));
    let long = writer.push("b", &series(table(5, 3))).unwrap_err().to_string();
    assert!(long.contains("cannot hold 5 frames of 3 parcels"), "{long}");
    assert!(!path.exists());
    drop(writer);
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 0);
    assert!(write_hdf5(scratch.path("no/such/folder.h5"), &like).is_err());
}

/// Any bits, so that infinities and the smallest numbers are among them; NaN would not be equal.
fn values(n_rows: usize, n_columns: usize, seed: u64) -> Array2<f64> {
    let mut state = seed;
    Array2::from_shape_simple_fn((n_rows, n_columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let value = f64::from_bits(state);
        if value.is_nan() { 0.5 } else { value }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn reading_back_a_written_series_is_the_identity(
        n_frames in 1_usize..40, n_parcels in 1_usize..20, seed in any::<u64>(),
    ) {
        let scratch = Scratch::new();
        let path = scratch.path("series.h5");
        let written = series(values(n_frames, n_parcels, seed));
        write_hdf5(&path, &written).unwrap();
        let opened = open(&path, &OpenOptions::default()).unwrap();
        prop_assert_eq!(&opened.t_r_source, "attribute TR of the dataset in s");
        let Scan::Series(read) = opened.scan else { panic!("a series") };
        prop_assert_eq!(read, written);
    }

    #[test]
    fn reading_back_a_written_cohort_is_the_identity(
        lengths in prop::collection::vec(1_usize..12, 1..5), n_parcels in 1_usize..6, seed in any::<u64>(),
    ) {
        let scratch = Scratch::new();
        let path = scratch.path("cohort.h5");
        let all: Vec<ParcelSeries> =
            lengths.iter().map(|&n| series(values(n, n_parcels, seed ^ n as u64))).collect();
        let mut writer = CohortWriter::create(&path, 12, &all[0]).unwrap();
        for (index, one) in all.iter().enumerate() {
            writer.push(&format!("sub-{index}"), one).unwrap();
        }
        writer.finish().unwrap();
        let cohort = CohortFile::open(&path, &OpenOptions::default()).unwrap();
        prop_assert_eq!(cohort.subjects().len(), all.len());
        for (index, one) in all.iter().enumerate() {
            prop_assert_eq!(&cohort.read(&format!("sub-{index}")).unwrap(), one);
        }
    }
}
