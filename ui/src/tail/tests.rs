use super::{Counts, LINE, Logs, SHOWN};
use std::{
    env, fs,
    io::Write as _,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

const RECORD: &str = "{\"route_template\":\"/a\",\"path\":\"/a\"}\n";

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("outrigger-ui-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn append(&self, text: &str) {
        let mut file = fs::File::options().create(true).append(true).open(self.log()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn check(logs: &mut Logs, access: u64, others: u64, rotations: u64) {
    logs.read();
    let Counts { access: records, others: foreign, rotations: turned, .. } = logs.files[0].counts;
    assert_eq!((records, foreign, turned), (access, others, rotations));
}

#[test]
fn a_file_is_read_as_it_grows_rotates_and_is_cut() {
    let folder = Folder::new();
    let mut logs = Logs::new(&[folder.log()]);
    logs.read();
    assert!(logs.files[0].problem.as_ref().unwrap().contains("is not there"));
    folder.append(RECORD);
    check(&mut logs, 1, 0, 0);
    assert_eq!(logs.files[0].problem, None);
    // Half a line waits for its end.
    let (half, rest) = RECORD.split_at(10);
    folder.append(half);
    check(&mut logs, 1, 0, 0);
    folder.append(rest);
    folder.append("GET /users/joe@example.com\nvia_upstream -\n");
    check(&mut logs, 2, 1, 0);
    assert_eq!(logs.files[0].counts.empty, 1);
    // Rotated, with a line that came before the move.
    folder.append(RECORD);
    fs::rename(folder.log(), folder.0.join("old")).unwrap();
    folder.append(&RECORD.repeat(2));
    check(&mut logs, 5, 1, 1);
    // Truncated, as copytruncate does.
    fs::write(folder.log(), RECORD).unwrap();
    check(&mut logs, 6, 1, 2);
    // Gone, and back.
    fs::remove_file(folder.log()).unwrap();
    check(&mut logs, 6, 1, 3);
    assert!(logs.files[0].problem.is_some());
    folder.append(RECORD);
    check(&mut logs, 7, 1, 3);
    assert!(!serde_json::to_string(&logs.recent()).unwrap().contains("joe"));
}

#[test]
fn memory_is_bounded_by_what_is_shown_and_by_a_line() {
    let folder = Folder::new();
    let mut logs = Logs::new(&[folder.log()]);
    folder.append("x");
    check(&mut logs, 0, 0, 0);
    folder.append(&"x".repeat(3 * LINE));
    check(&mut logs, 0, 1, 0);
    folder.append(&"x".repeat(LINE));
    folder.append(&format!("\n{}", RECORD.repeat(500)));
    check(&mut logs, 500, 1, 0);
    assert_eq!(logs.recent()[0].len(), SHOWN);
    assert!(logs.files[0].open.as_ref().unwrap().rest.is_empty());
}

#[test]
fn what_is_no_file_is_said_to_be_none() {
    let mut logs = Logs::new(&[env::temp_dir()]);
    logs.read();
    assert!(logs.files[0].problem.as_ref().unwrap().contains("no regular file"));
}
