/* A clock that can be set, for LD_PRELOAD: the system's, and as many seconds more as stand in the file $OUTRIGGER_CLOCK (eight bytes, little endian).
 * The clock that only goes forward is left alone. libfaketime would do, but Envoy's allocator reads the clock while libfaketime looks for the real
 * one, and both wait for each other; here nothing is looked for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *place;

static int64_t offset(void) {
    if (!place) {
        const char *path = getenv("OUTRIGGER_CLOCK");
        int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : -1;
        if (file < 0) {
            return 0;
        }
        void *bytes = mmap(NULL, sizeof *place, PROT_READ, MAP_SHARED, file, 0);
        syscall(SYS_close, file);
        if (bytes == MAP_FAILED) {
            return 0;
        }
        place = bytes;
    }
    return *place;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        time->tv_sec += offset();
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    int result = (int)syscall(SYS_gettimeofday, time, zone);
    if (!result && time) {
        time->tv_sec += offset();
    }
    return result;
}

time_t time(time_t *place_of_time) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place_of_time) {
        *place_of_time = now.tv_sec;
    }
    return now.tv_sec;
}
