/* Failpoints: counts every call that changes something below one folder, and lets the n-th one go wrong.
 *
 * Loaded with LD_PRELOAD; does nothing until fp_arm() is called, which a forked child does for itself. Modes:
 *   count  nothing goes wrong; the log names every call
 *   kill   SIGKILL before the n-th call
 *   torn   the n-th call is done half (a write) or whole (anything else), then SIGKILL
 *   errno  the n-th call fails with an error number; with `persistent`, every later one too
 *   power  as kill, and the log says what was not synced: what the harness takes back (see power.py)
 *
 * The log has one line a call: "C <n> <call> <path>". In mode power also, after the call:
 *   "D <inode> <path> <shadow>"  first write to a file since it was synced; shadow holds its synced content, - if empty
 *   "S <inode> <path>"           file synced            "Y - <folder> -"          folder synced
 *   "N <what> <path> <other>"    a name came, went or moved; `other` is a link to what was there, or the other name
 * Fields are separated by tabs. Own files are written past the hooks, by bare system calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, COUNT, KILL, TORN, ERRNO, POWER };

static struct {
    int mode, error, persistent, log;
    long at, count;
    char root[PATH_MAX], shadows[PATH_MAX];
    size_t root_length;
} fp = {.log = -1};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

#define FILES 8192
static struct { ino_t inode; char dirty; } files[FILES];
static long shadow_number;

/* Called by the harness, in the process that is to fail. */
void fp_arm(const char *root, int mode, long at, int error, int persistent, const char *log, const char *shadows) {
    snprintf(fp.root, sizeof fp.root, "%s", root);
    snprintf(fp.shadows, sizeof fp.shadows, "%s", shadows);
    fp.root_length = strlen(root);
    fp.at = at, fp.error = error, fp.persistent = persistent;
    fp.log = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    fp.count = 0;
    fp.mode = mode;
}

static void note(const char *format, ...) {
    char line[3 * PATH_MAX];
    va_list given;
    va_start(given, format);
    int length = vsnprintf(line, sizeof line, format, given);
    va_end(given);
    if (fp.log >= 0 && length > 0) syscall(SYS_write, fp.log, line, (size_t)length);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

/* Writes the absolute path of (folder, name) and returns whether it lies below the root. */
static int below(int folder, const char *name, char *path) {
    if (fp.mode == OFF || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char base[PATH_MAX], link[64];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    return !strncmp(path, fp.root, fp.root_length) && (path[fp.root_length] == '/' || !path[fp.root_length]);
}

static int below_fd(int fd, char *path) {
    if (fp.mode == OFF || fd < 0) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, fp.root, fp.root_length) && (path[fp.root_length] == '/' || !path[fp.root_length]) &&
           !strstr(path, " (deleted)");
}

/* What the caller of count_call has to do. */
enum verdict { GO, FAIL, HALF };

static enum verdict count_call(const char *call, const char *path) {
    long number = ++fp.count;
    note("C\t%ld\t%s\t%s\n", number, call, path);
    if (fp.mode == ERRNO && (number == fp.at || (fp.persistent && number > fp.at))) {
        errno = fp.error;
        return FAIL;
    }
    if (number != fp.at) return GO;
    if (fp.mode == KILL || fp.mode == POWER) die();
    return fp.mode == TORN ? HALF : GO;
}

static int slot_of(ino_t inode) {
    for (int i = 0; i < FILES; i++) {
        int slot = (int)((inode + (ino_t)i) % FILES);
        if (files[slot].inode == inode || !files[slot].inode) {
            files[slot].inode = inode;
            return slot;
        }
    }
    abort();
}

static void shadow_name(char *name) { snprintf(name, PATH_MAX, "%.3900s/%ld", fp.shadows, ++shadow_number); }

static void copy_of(const char *path, const char *shadow) {
    int from = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    int to = (int)syscall(SYS_openat, AT_FDCWD, shadow, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char buffer[65536];
    for (ssize_t n; from >= 0 && to >= 0 && (n = syscall(SYS_read, from, buffer, sizeof buffer)) > 0;)
        syscall(SYS_write, to, buffer, (size_t)n);
    if (from >= 0) syscall(SYS_close, from);
    if (to >= 0) syscall(SYS_close, to);
}

/* Before a file changes: keeps its content, if that is what a power failure would go back to. */
static void will_change(const char *path) {
    struct stat found;
    if (fp.mode != POWER || stat(path, &found) || !S_ISREG(found.st_mode)) return;
    int slot = slot_of(found.st_ino);
    if (files[slot].dirty) return;
    files[slot].dirty = 1;
    char shadow[PATH_MAX] = "-";
    if (found.st_size) {
        shadow_name(shadow);
        copy_of(path, shadow);
    }
    note("D\t%lu\t%s\t%s\n", (unsigned long)found.st_ino, path, shadow);
}

static void is_synced(const char *path) {
    struct stat found;
    if (fp.mode != POWER || stat(path, &found)) return;
    if (S_ISDIR(found.st_mode)) {
        note("Y\t-\t%s\t-\n", path);
        return;
    }
    files[slot_of(found.st_ino)].dirty = 0;
    note("S\t%lu\t%s\t-\n", (unsigned long)found.st_ino, path);
}

/* Links what a name stands for to a place of its own, so that the name can be put back; "-" where it stands for nothing. */
static void keep_name(const char *path, char *shadow) {
    strcpy(shadow, "-");
    if (fp.mode != POWER) return;
    struct stat found;
    if (lstat(path, &found) || !S_ISREG(found.st_mode)) return;
    shadow_name(shadow);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, shadow, 0)) strcpy(shadow, "-");
}

static void named(const char *what, const char *path, const char *other) {
    if (fp.mode == POWER) note("N\t%s\t%s\t%s\n", what, path, other);
}

#define REAL(result, name, ...)                                  \
    static result (*real)(__VA_ARGS__);                          \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define LOCK pthread_mutex_lock(&one_at_a_time)
#define UNLOCK pthread_mutex_unlock(&one_at_a_time)

/* Runs a call that is done whole or not at all. */
#define ATOMIC(type, call, path, before, run, after)             \
    do {                                                         \
        LOCK;                                                    \
        enum verdict verdict = count_call(call, path);           \
        if (verdict == FAIL) { UNLOCK; return -1; }              \
        before;                                                  \
        type done = run;                                         \
        int saved = errno;                                       \
        if (done >= 0) { after; }                                \
        if (verdict == HALF) die();                              \
        errno = saved;                                           \
        UNLOCK;                                                  \
        return done;                                             \
    } while (0)

/* Runs a write of `size` bytes; torn, it writes half of them. */
#define WRITING(call, fd, size, whole, half)                     \
    do {                                                         \
        char path[PATH_MAX];                                     \
        if (!below_fd(fd, path)) return whole;                   \
        LOCK;                                                    \
        enum verdict verdict = count_call(call, path);           \
        if (verdict == FAIL) { UNLOCK; return -1; }              \
        will_change(path);                                       \
        if (verdict == HALF) { if ((size) > 1) (void)!half; die(); } \
        ssize_t done = whole;                                    \
        int saved = errno;                                       \
        UNLOCK;                                                  \
        errno = saved;                                           \
        return done;                                             \
    } while (0)

static int opened(int (*real)(int, const char *, int, ...), int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !below(folder, name, path)) return real(folder, name, flags, mode);
    struct stat found;
    int is_new = lstat(path, &found) != 0;
    ATOMIC(int, "open", path, if (!is_new && (flags & O_TRUNC)) will_change(path), real(folder, name, flags, mode),
           if (is_new) named("create", path, "-"));
}

#define MODE                                                     \
    mode_t mode = 0;                                             \
    if (flags & (O_CREAT | O_TMPFILE)) {                         \
        va_list given;                                           \
        va_start(given, flags);                                  \
        mode = va_arg(given, mode_t);                            \
        va_end(given);                                           \
    }

int open(const char *name, int flags, ...) {
    REAL(int, "openat", int, const char *, int, ...);
    MODE
    return opened(real, AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    MODE
    return opened(real, AT_FDCWD, name, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *name, int flags, ...) {
    REAL(int, "openat", int, const char *, int, ...);
    MODE
    return opened(real, folder, name, flags, mode);
}
int openat64(int folder, const char *name, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    MODE
    return opened(real, folder, name, flags, mode);
}
int __open_2(const char *name, int flags) { return open(name, flags); }
int __open64_2(const char *name, int flags) { return open64(name, flags); }
int __openat_2(int folder, const char *name, int flags) { return openat(folder, name, flags); }
int __openat64_2(int folder, const char *name, int flags) { return openat64(folder, name, flags); }
int creat(const char *name, mode_t mode) { return open(name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return open64(name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    WRITING("write", fd, size, real(fd, data, size), real(fd, data, size / 2));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    WRITING("pwrite", fd, size, real(fd, data, size, at), real(fd, data, size / 2, at));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    WRITING("pwrite", fd, size, real(fd, data, size, at), real(fd, data, size / 2, at));
}
static size_t half_of(const struct iovec *parts, int count) {
    size_t total = 0;
    for (int i = 0; i < count; i++) total += parts[i].iov_len;
    return total / 2 < parts[0].iov_len ? total / 2 : parts[0].iov_len;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    WRITING("writev", fd, 2, real(fd, parts, count), syscall(SYS_write, fd, parts[0].iov_base, half_of(parts, count)));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
    WRITING("pwritev", fd, 2, real(fd, parts, count, at),
            syscall(SYS_pwrite64, fd, parts[0].iov_base, half_of(parts, count), at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
    WRITING("pwritev", fd, 2, real(fd, parts, count, at),
            syscall(SYS_pwrite64, fd, parts[0].iov_base, half_of(parts, count), at));
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    REAL(ssize_t, "sendfile", int, int, off_t *, size_t);
    WRITING("sendfile", to, size, real(to, from, at, size), real(to, from, at, size / 2));
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    WRITING("sendfile", to, size, real(to, from, at, size), real(to, from, at, size / 2));
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    WRITING("copy_file_range", to, size, real(from, at, to, there, size, flags),
            real(from, at, to, there, size / 2, flags));
}

#define ON_FD(call, run, before, after)                          \
    do {                                                         \
        char path[PATH_MAX];                                     \
        if (!below_fd(fd, path)) return run;                     \
        ATOMIC(int, call, path, before, run, after);             \
    } while (0)

int ftruncate(int fd, off_t size) {
    REAL(int, "ftruncate", int, off_t);
    ON_FD("ftruncate", real(fd, size), will_change(path), );
}
int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    ON_FD("ftruncate", real(fd, size), will_change(path), );
}
int fallocate(int fd, int how, off_t at, off_t size) {
    REAL(int, "fallocate", int, int, off_t, off_t);
    ON_FD("fallocate", real(fd, how, at, size), will_change(path), );
}
int fallocate64(int fd, int how, off64_t at, off64_t size) {
    REAL(int, "fallocate64", int, int, off64_t, off64_t);
    ON_FD("fallocate", real(fd, how, at, size), will_change(path), );
}
int fsync(int fd) {
    REAL(int, "fsync", int);
    ON_FD("fsync", real(fd), , is_synced(path));
}
int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    ON_FD("fdatasync", real(fd), , is_synced(path));
}

/* posix_fallocate returns its error. */
static int reserved(int (*real)(int, off64_t, off64_t), int fd, off64_t at, off64_t size) {
    char path[PATH_MAX];
    if (!below_fd(fd, path)) return real(fd, at, size);
    LOCK;
    enum verdict verdict = count_call("fallocate", path);
    if (verdict != FAIL) will_change(path);
    int failed = verdict == FAIL ? fp.error : real(fd, at, size);
    if (verdict == HALF) die();
    UNLOCK;
    return failed;
}
int posix_fallocate(int fd, off_t at, off_t size) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    return reserved(real, fd, at, size);
}
int posix_fallocate64(int fd, off64_t at, off64_t size) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    return reserved(real, fd, at, size);
}

int truncate(const char *name, off_t size) {
    REAL(int, "truncate", const char *, off_t);
    char path[PATH_MAX];
    if (!below(AT_FDCWD, name, path)) return real(name, size);
    ATOMIC(int, "truncate", path, will_change(path), real(name, size), );
}
int truncate64(const char *name, off64_t size) {
    REAL(int, "truncate64", const char *, off64_t);
    char path[PATH_MAX];
    if (!below(AT_FDCWD, name, path)) return real(name, size);
    ATOMIC(int, "truncate", path, will_change(path), real(name, size), );
}

static int moved(int from, const char *old, int to, const char *new, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    char path[PATH_MAX], other[PATH_MAX], shadow[PATH_MAX];
    int is_ours = below(from, old, path), is_target = below(to, new, other);
    if (!is_ours && !is_target) return real(from, old, to, new, flags);
    ATOMIC(int, "rename", other, keep_name(other, shadow), real(from, old, to, new, flags), {
        if (strcmp(shadow, "-")) named("unlink", other, shadow);
        named("rename", other, path);
    });
}
int rename(const char *old, const char *new) { return moved(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return moved(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return moved(from, old, to, new, flags);
}

static int linked(int from, const char *old, int to, const char *new, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    char path[PATH_MAX];
    if (!below(to, new, path)) return real(from, old, to, new, flags);
    ATOMIC(int, "link", path, , real(from, old, to, new, flags), named("create", path, "-"));
}
int link(const char *old, const char *new) { return linked(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return linked(from, old, to, new, flags); }

static int removed(int folder, const char *name, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    char path[PATH_MAX], shadow[PATH_MAX];
    if (!below(folder, name, path)) return real(folder, name, flags);
    if (flags & AT_REMOVEDIR)
        ATOMIC(int, "rmdir", path, , real(folder, name, flags), named("rmdir", path, "-"));
    ATOMIC(int, "unlink", path, keep_name(path, shadow), real(folder, name, flags), named("unlink", path, shadow));
}
int unlink(const char *name) { return removed(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return removed(folder, name, flags); }
int rmdir(const char *name) { return removed(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    struct stat found;
    return removed(AT_FDCWD, name, !lstat(name, &found) && S_ISDIR(found.st_mode) ? AT_REMOVEDIR : 0);
}

static int made(int folder, const char *name, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    char path[PATH_MAX];
    if (!below(folder, name, path)) return real(folder, name, mode);
    ATOMIC(int, "mkdir", path, , real(folder, name, mode), named("mkdir", path, "-"));
}
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return made(folder, name, mode); }
