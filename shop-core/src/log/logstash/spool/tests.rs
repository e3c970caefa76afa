use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn config(max_bytes: u64) -> SpoolConfig {
    SpoolConfig {
        dir: PathBuf::new(),
        max_bytes: crate::size::ByteSize(max_bytes),
        sync: Duration::ZERO.into(),
    }
}

fn open(dir: &Path) -> Arc<Spool> {
    Arc::new(Spool::open(dir, &config(1 << 20)).unwrap())
}

fn line(number: usize) -> Vec<u8> {
    format!("{{\"n\":{number},\"text\":\"{}\"}}\n", "x".repeat(number % 50)).into_bytes()
}

fn append(spool: &Arc<Spool>, numbers: std::ops::Range<usize>) -> Writer {
    let mut writer = Writer::new(spool.clone());
    writer.append(&numbers.map(line).collect::<Vec<_>>().concat(), |_| {});
    writer
}

/// What is waiting, read to the end; it is acknowledged if it is told so.
fn drain(spool: &Spool, acknowledge: bool) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut batch = Batch::default();
    while spool.waiting() > 0 {
        batch.clear();
        spool.read(&mut batch).unwrap();
        let window = batch.window(usize::MAX);
        lines.extend(window.lines().map(|line| [line, b"\n"].concat()));
        if !acknowledge {
            return lines;
        }
        let (events, bytes) = (window.len(), window.bytes().len());
        spool.acknowledge(events, bytes);
    }
    lines
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| segment::number(path).is_some()).collect();
    files.sort();
    files
}

#[test]
fn a_torn_tail_is_cut_at_every_offset_and_what_comes_later_follows() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), 0..5);
    let whole = fs::read(&segments(dir.path())[0]).unwrap();
    let ends: Vec<usize> =
        (0..=5).map(|count| (0..count).map(|number| HEAD + line(number).len()).sum()).collect();
    for length in 0..=whole.len() {
        // As much as was written, and then nothing, zeros or anything.
        for tail in [&[][..], &[0; 40], &[0x7b; 40]] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(segment::path(dir.path(), 1), [&whole[..length], tail].concat()).unwrap();
            let left = ends.iter().rposition(|end| *end <= length).unwrap();
            let spool = open(dir.path());
            assert_eq!(spool.waiting(), left as u64, "{length}");
            append(&spool, 5..7);
            let lines = drain(&spool, true);
            assert_eq!(lines, (0..left).chain(5..7).map(line).collect::<Vec<_>>(), "{length}");
        }
    }
}

#[test]
fn what_is_acknowledged_does_not_come_again_and_the_rest_does() {
    let dir = tempfile::tempdir().unwrap();
    for acknowledged in 0..=9 {
        let dir = dir.path().join(acknowledged.to_string());
        let spool = open(&dir);
        append(&spool, 0..9);
        let bytes = (0..acknowledged).map(|number| line(number).len()).sum();
        spool.acknowledge(acknowledged, bytes);
        drop(spool);
        let spool = open(&dir);
        append(&spool, 9..11);
        assert_eq!(spool.waiting(), 11 - acknowledged as u64);
        assert_eq!(drain(&spool, true), (acknowledged..11).map(line).collect::<Vec<_>>());
        drop(spool);
        let spool = open(&dir);
        assert_eq!(
            (spool.waiting(), segments(&dir).len()),
            (0, 0),
            "nothing is left of what is acknowledged"
        );
    }
}

#[test]
fn a_cursor_that_cannot_be_read_only_sends_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    append(&spool, 0..9);
    spool.acknowledge(1, line(0).len());
    drop(spool);
    let path = dir.path().join("cursor");
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(open(dir.path()).waiting(), 9, "{length}");
    }
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_eq!(open(dir.path()).waiting(), 9, "{index}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(open(dir.path()).waiting(), 8);
    // One that is right but for another file: in the middle of a record, and behind the end.
    for (offset, waiting) in [(3, 9), (1 << 40, 0)] {
        let (mut cursor, _) = Cursor::open(dir.path()).unwrap();
        cursor.write(Position { segment: 1, offset }).unwrap();
        assert_eq!(open(dir.path()).waiting(), waiting, "{offset}");
    }
}

#[test]
fn a_number_is_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let spool = open(dir.path());
        append(&spool, 0..3);
        let number = segment::number(&segments(dir.path())[0]).unwrap();
        assert!(number > last, "what a cursor says of an old segment must not be taken for a new one's");
        last = number;
        assert_eq!(drain(&spool, true).len(), 3);
    }
}

#[test]
fn the_cap_is_kept_and_room_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let max = 256 << 10;
    let spool = Arc::new(Spool::open(dir.path(), &config(max)).unwrap());
    let emitted = 20_000;
    // A segment may be removed meanwhile.
    let on_disk = || {
        segments(dir.path())
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|file| file.len())
            .sum::<u64>()
    };
    let (mut most, mut seen) = (0, Vec::new());
    let done = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Writer::new(spool.clone());
            let lines = (0..emitted).map(line).collect::<Vec<_>>().concat();
            writer.append(&lines, |lines| {
                done.fetch_add(lines, std::sync::atomic::Ordering::SeqCst);
            });
        });
        while seen.len() < emitted {
            most = most.max(on_disk());
            seen.extend(drain(&spool, true));
            std::thread::yield_now();
        }
    });
    assert!(most <= max, "{most}");
    assert!(seen.into_iter().eq((0..emitted).map(line)), "all of them, in order");
    assert_eq!(done.into_inner(), emitted as u64);
}

#[test]
fn a_full_spool_that_is_closed_gives_the_rest_up_and_says_how_much_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(dir.path(), &config(256 << 10)).unwrap());
    spool.close();
    let done = Cell::new(0);
    let lines = (0..20_000).map(line).collect::<Vec<_>>().concat();
    Writer::new(spool.clone()).append(&lines, |lines| done.set(done.get() + lines));
    assert!((1..20_000).contains(&done.get()));
    drop(spool);
    // A smaller cap than what is there keeps what is there.
    let spool = Arc::new(Spool::open(dir.path(), &config(100 << 10)).unwrap());
    assert_eq!(spool.waiting(), done.get());
    assert!(drain(&spool, true).into_iter().eq((0..done.get() as usize).map(line)));
}

#[test]
fn what_the_disk_has_lost_is_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path());
    append(&spool, 0..3).seal();
    append(&spool, 3..5).seal();
    append(&spool, 5..6);
    let files = segments(dir.path());
    assert_eq!(files.len(), 3);
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[HEAD + 3] ^= 1;
    fs::write(&files[0], bytes).unwrap();
    fs::remove_file(&files[1]).unwrap();
    let mut batch = Batch::default();
    assert_eq!((spool.read(&mut batch).unwrap(), spool.read(&mut batch).unwrap()), (3, 2));
    assert_eq!((spool.waiting(), drain(&spool, true)), (1, vec![line(5)]));
}

#[test]
fn a_folder_has_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Spool::open(dir.path(), &config(1 << 20)).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    open(dir.path());
}
