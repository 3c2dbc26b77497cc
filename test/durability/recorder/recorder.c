/*
 * A preload library that writes down what a program does to one folder, so that the folder can be rebuilt as a
 * loss of power at any moment could have left it. What a kill leaves proves nothing about that: the page cache
 * outlives the process.
 *
 *   RECORDER_ROOT    the folder that is watched, absolute
 *   RECORDER_SIDE    where the record goes, on the same file system, outside the root:
 *                      events    one line per event: a number that grows by one, a letter, tabs between
 *                      inodes/   every file by its inode number; a hard link, so unlinked bytes stay
 *                      control   two numbers of 8 bytes: bytes that may still be written (-1: any), writes failed so far
 *   RECORDER_ACK_FD  what is written to this descriptor is an event too: what the program tells the world
 *
 * Events (paths relative to the root, which is "."):
 *   C ino path       created             W ino size          written; the file has this size now
 *   M path           made a directory    S ino size since    synced: what was written up to event `since`
 *   R ino from to    renamed             D path since        directory synced: its operations up to event `since`
 *   U ino path       unlinked            T ino size          cut to this size
 *   A text           told                E ino               a write failed for lack of space
 *   X what           something this library cannot follow: the record is worthless
 *
 * A write is noted after it was made, a telling before, a sync after it has returned but with what was there
 * before it began: so at every event the record promises no more than a disk would.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 1024
#define DESCRIPTORS 65536
#define STREAMS 1024

/* An open file or directory below the root. */
struct watched {
  uint64_t inode;
  int is_directory;
  char path[PATH_BYTES];
};

static char root[PATH_BYTES], side[PATH_BYTES];
static size_t root_length;
static int recording = 0, ack_descriptor = -1, events_descriptor = -1;
static struct watched *table[DESCRIPTORS];
static volatile int64_t *control;
static uint64_t newest_event = 0;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* The descriptors that the C library opened are found by the address of their stream. */
static struct stream { FILE *file; int descriptor; } streams[STREAMS];
static FILE *(*real_fopen)(const char *, const char *);
static int (*real_fileno)(FILE *);

/* Everything this library does for itself goes by raw system calls, past its own wrappers. */
static int raw_open(const char *path, int flags) { return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644); }

static void map_control(void) {
  char path[PATH_BYTES + 16];
  snprintf(path, sizeof path, "%s/control", side);
  int descriptor = raw_open(path, O_RDWR | O_CREAT);
  int64_t fresh[2] = {-1, 0};
  struct stat found;
  if (fstat(descriptor, &found) == 0 && found.st_size == 0) syscall(SYS_pwrite64, descriptor, fresh, sizeof fresh, 0);
  control = mmap(0, sizeof fresh, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  syscall(SYS_close, descriptor);
}

__attribute__((constructor)) static void begin(void) {
  if (real_fopen) return;
  real_fopen = dlsym(RTLD_NEXT, "fopen64");
  real_fileno = dlsym(RTLD_NEXT, "fileno");
  const char *watch = getenv("RECORDER_ROOT"), *beside = getenv("RECORDER_SIDE"), *ack = getenv("RECORDER_ACK_FD");
  if (!watch || !beside) return;
  snprintf(root, sizeof root, "%s", watch);
  snprintf(side, sizeof side, "%s", beside);
  root_length = strlen(root);
  if (ack) ack_descriptor = atoi(ack);
  char path[PATH_BYTES + 16];
  snprintf(path, sizeof path, "%s/inodes", side);
  syscall(SYS_mkdirat, AT_FDCWD, path, 0755);
  snprintf(path, sizeof path, "%s/events", side);
  int descriptor = raw_open(path, O_WRONLY | O_CREAT | O_APPEND);
  events_descriptor = syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, 900); /* Out of the way of the program's numbers. */
  syscall(SYS_close, descriptor);
  map_control();
  recording = 1;
}

static void note(const char *format, ...) {
  int saved = errno;
  char line[4 * PATH_BYTES];
  pthread_mutex_lock(&mutex);
  int length = snprintf(line, sizeof line, "%lu\t", ++newest_event);
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  syscall(SYS_write, events_descriptor, line, length);
  pthread_mutex_unlock(&mutex);
  errno = saved;
}

static uint64_t now(void) {
  pthread_mutex_lock(&mutex);
  uint64_t event = newest_event;
  pthread_mutex_unlock(&mutex);
  return event;
}

/* The path below the root, or NULL where it is elsewhere. */
static const char *below_root(const char *path, char *buffer) {
  begin();
  if (!recording || !path) return NULL;
  char folder[PATH_BYTES];
  if (path[0] == '/') snprintf(buffer, 2 * PATH_BYTES, "%s", path);
  else if (syscall(SYS_getcwd, folder, sizeof folder) > 0) snprintf(buffer, 2 * PATH_BYTES, "%s/%s", folder, path);
  else return NULL;
  for (size_t length = strlen(buffer); length > 1 && buffer[length - 1] == '/';) buffer[--length] = 0;
  if (strncmp(buffer, root, root_length) != 0) return NULL;
  if (buffer[root_length] == 0) return ".";
  return buffer[root_length] == '/' ? buffer + root_length + 1 : NULL;
}

/* Keeps the bytes of a file whatever happens to its names, and its inode number from being used again. */
static void keep_inode(const char *path, uint64_t inode) {
  int saved = errno;
  char link[PATH_BYTES + 64];
  snprintf(link, sizeof link, "%s/inodes/%lu", side, inode);
  syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, link, 0);
  errno = saved;
}

static struct watched *watched_at(int descriptor) {
  return recording && descriptor >= 0 && descriptor < DESCRIPTORS ? table[descriptor] : NULL;
}

static int open_and_watch(int folder, const char *path, int flags, mode_t mode) {
  char buffer[2 * PATH_BYTES];
  const char *relative = below_root(path, buffer);
  if (!relative) return syscall(SYS_openat, folder, path, flags, mode);
  int existed = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
  int descriptor = syscall(SYS_openat, folder, path, flags, mode);
  if (descriptor < 0 || descriptor >= DESCRIPTORS) return descriptor;
  struct stat found;
  fstat(descriptor, &found);
  struct watched *watched = malloc(sizeof *watched);
  watched->inode = found.st_ino;
  watched->is_directory = S_ISDIR(found.st_mode);
  snprintf(watched->path, sizeof watched->path, "%s", relative);
  if (!watched->is_directory && (flags & O_ACCMODE) != O_RDONLY) {
    if (!existed) {
      keep_inode(path, found.st_ino);
      note("C\t%lu\t%s", found.st_ino, relative);
    } else if (flags & O_TRUNC) {
      note("T\t%lu\t0", found.st_ino);
    }
  }
  table[descriptor] = watched;
  return descriptor;
}

#define MODE_ARGUMENT \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE_ARGUMENT return open_and_watch(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_ARGUMENT return open_and_watch(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE_ARGUMENT return open_and_watch(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE_ARGUMENT return open_and_watch(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_and_watch(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int descriptor) {
  struct watched *watched = watched_at(descriptor);
  if (watched) {
    table[descriptor] = NULL;
    free(watched);
  }
  return syscall(SYS_close, descriptor);
}

/* How many of these bytes the disk still takes. */
static size_t take_budget(size_t wanted) {
  if (!control || control[0] < 0) return wanted;
  int64_t left = __atomic_load_n(&control[0], __ATOMIC_SEQ_CST);
  int64_t taken = left < (int64_t)wanted ? left : (int64_t)wanted;
  if (taken > 0) __atomic_sub_fetch(&control[0], taken, __ATOMIC_SEQ_CST);
  return taken < 0 ? 0 : taken;
}

/* One line of the record for every line that was told. */
static void note_told(const char *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    const char *end = memchr(bytes + at, '\n', length - at);
    size_t line = end ? (size_t)(end - bytes) - at : length - at;
    note("A\t%.*s", (int)line, bytes + at);
    at += line + 1;
  }
}

static ssize_t raw_write(int descriptor, const void *bytes, size_t length, off_t at) {
  return at < 0 ? syscall(SYS_write, descriptor, bytes, length) : syscall(SYS_pwrite64, descriptor, bytes, length, at);
}

static ssize_t write_and_note(int descriptor, const void *bytes, size_t length, off_t at) {
  struct watched *watched = watched_at(descriptor);
  if (!watched) {
    if (recording && descriptor == ack_descriptor) note_told(bytes, length);
    return raw_write(descriptor, bytes, length, at);
  }
  size_t taken = take_budget(length);
  if (taken == 0 && length > 0) {
    __atomic_add_fetch(&control[1], 1, __ATOMIC_SEQ_CST);
    note("E\t%lu", watched->inode);
    errno = ENOSPC;
    return -1;
  }
  struct stat found;
  fstat(descriptor, &found);
  if (at >= 0 && at < found.st_size) note("X\twrite in place: %s", watched->path);
  ssize_t written = raw_write(descriptor, bytes, taken, at);
  int saved = errno;
  if (fstat(descriptor, &found) == 0) note("W\t%lu\t%ld", watched->inode, (long)found.st_size);
  errno = saved;
  return written;
}

ssize_t write(int descriptor, const void *bytes, size_t length) { return write_and_note(descriptor, bytes, length, -1); }
ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t at) { return write_and_note(descriptor, bytes, length, at); }
ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t at) { return write_and_note(descriptor, bytes, length, at); }

static ssize_t write_pieces(int descriptor, const struct iovec *pieces, int count, off_t at) {
  if (!watched_at(descriptor) && descriptor != ack_descriptor) {
    return at < 0 ? syscall(SYS_writev, descriptor, pieces, count) : syscall(SYS_pwritev, descriptor, pieces, count, at, 0);
  }
  ssize_t sum = 0;
  for (int index = 0; index < count; index++) {
    ssize_t written = write_and_note(descriptor, pieces[index].iov_base, pieces[index].iov_len, at < 0 ? -1 : at + sum);
    if (written < 0) return sum > 0 ? sum : -1;
    sum += written;
    if ((size_t)written < pieces[index].iov_len) break;
  }
  return sum;
}
ssize_t writev(int descriptor, const struct iovec *pieces, int count) { return write_pieces(descriptor, pieces, count, -1); }
ssize_t pwritev(int descriptor, const struct iovec *pieces, int count, off_t at) { return write_pieces(descriptor, pieces, count, at); }
ssize_t pwritev64(int descriptor, const struct iovec *pieces, int count, off64_t at) { return write_pieces(descriptor, pieces, count, at); }

static int sync_and_note(int descriptor, int call) {
  struct watched *watched = watched_at(descriptor);
  if (!watched) return syscall(call, descriptor);
  uint64_t since = now();
  struct stat before;
  fstat(descriptor, &before);
  int result = syscall(call, descriptor);
  if (result == 0 && watched->is_directory) note("D\t%s\t%lu", watched->path, since);
  else if (result == 0) note("S\t%lu\t%ld\t%lu", watched->inode, (long)before.st_size, since);
  return result;
}
int fsync(int descriptor) { return sync_and_note(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_and_note(descriptor, SYS_fdatasync); }

int rename(const char *from, const char *to) {
  char buffer_from[2 * PATH_BYTES], buffer_to[2 * PATH_BYTES];
  const char *relative_from = below_root(from, buffer_from), *relative_to = below_root(to, buffer_to);
  struct stat found = {0};
  stat(from, &found);
  int result = syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
  if (result != 0 || (!relative_from && !relative_to)) return result;
  if (S_ISDIR(found.st_mode) || !relative_from || !relative_to) note("X\trename of a directory or across the root: %s", from);
  note("R\t%lu\t%s\t%s", found.st_ino, relative_from ? relative_from : "", relative_to ? relative_to : "");
  return result;
}

int unlink(const char *path) {
  char buffer[2 * PATH_BYTES];
  const char *relative = below_root(path, buffer);
  struct stat found = {0};
  if (relative && lstat(path, &found) == 0) keep_inode(path, found.st_ino);
  int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (result == 0 && relative) note("U\t%lu\t%s", found.st_ino, relative);
  return result;
}

int mkdir(const char *path, mode_t mode) {
  char buffer[2 * PATH_BYTES];
  const char *relative = below_root(path, buffer);
  int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  if (result == 0 && relative) note("M\t%s", relative);
  return result;
}

int ftruncate64(int descriptor, off64_t size) {
  struct watched *watched = watched_at(descriptor);
  int result = syscall(SYS_ftruncate, descriptor, size);
  if (watched && result == 0) note("T\t%lu\t%ld", watched->inode, (long)size);
  return result;
}
int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }

/* A file that is changed through memory would be changed behind our back. */
void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t at) {
  if (watched_at(descriptor) && (protection & PROT_WRITE) && (flags & MAP_SHARED)) note("X\twritable mapping");
  return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, at);
}

/*
 * LevelDB writes through the C library's streams, whose inner write cannot be interposed: they get a cookie
 * stream over a descriptor of ours.
 */
static ssize_t stream_write(void *cookie, const char *bytes, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t written = write_and_note(((struct stream *)cookie)->descriptor, bytes + done, length - done, -1);
    if (written <= 0) break;
    done += written;
  }
  return done;
}
static ssize_t stream_read(void *cookie, char *bytes, size_t length) {
  return syscall(SYS_read, ((struct stream *)cookie)->descriptor, bytes, length);
}
static int stream_seek(void *cookie, off64_t *at, int whence) {
  off64_t result = lseek64(((struct stream *)cookie)->descriptor, *at, whence);
  if (result < 0) return -1;
  *at = result;
  return 0;
}
static int stream_close(void *cookie) {
  struct stream *stream = cookie;
  int result = close(stream->descriptor);
  stream->file = NULL;
  return result;
}

static struct stream *free_stream(void) {
  struct stream *found = NULL;
  pthread_mutex_lock(&mutex);
  for (int index = 0; index < STREAMS && !found; index++) {
    if (!streams[index].file) found = &streams[index];
  }
  if (found) found->file = (FILE *)1; /* Taken. */
  pthread_mutex_unlock(&mutex);
  return found;
}

FILE *fopen64(const char *path, const char *mode) {
  char buffer[2 * PATH_BYTES];
  if (!below_root(path, buffer) || !strpbrk(mode, "wa+")) return real_fopen(path, mode);
  int flags = mode[0] == 'w' ? O_CREAT | O_TRUNC : mode[0] == 'a' ? O_CREAT | O_APPEND : 0;
  int descriptor = open_and_watch(AT_FDCWD, path, flags | (strchr(mode, '+') ? O_RDWR : O_WRONLY), 0666);
  if (descriptor < 0) return NULL;
  struct stream *stream = free_stream();
  if (!stream) {
    close(descriptor);
    errno = EMFILE;
    return NULL;
  }
  stream->descriptor = descriptor;
  cookie_io_functions_t functions = {stream_read, stream_write, stream_seek, stream_close};
  FILE *file = fopencookie(stream, mode, functions);
  setvbuf(file, NULL, _IOFBF, 4096); /* As the C library does for a file. */
  stream->file = file;
  return file;
}
FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }

int fileno(FILE *file) {
  for (int index = 0; recording && index < STREAMS; index++) {
    if (streams[index].file == file) return streams[index].descriptor;
  }
  return real_fileno(file);
}
