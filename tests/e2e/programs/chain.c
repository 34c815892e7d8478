/* chain FILE SECONDS: each process forks, goes, and leaves the rest to its child, in a session of its own; SIGTERM is ignored. FILE counts
   them, and after SECONDS they end by themselves. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    (void)count;
    int file = open(words[1], O_RDWR | O_CREAT, 0644);
    if (ftruncate(file, 4096) != 0) return 1;
    volatile uint64_t *links = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (links == MAP_FAILED) return 1;
    time_t end = time(NULL) + atoi(words[2]);
    signal(SIGTERM, SIG_IGN);
    while (time(NULL) < end) {
        ++*links;
        if (fork() != 0) _exit(0);
        setsid();
    }
}
