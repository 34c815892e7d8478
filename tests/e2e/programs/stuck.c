/* stuck FILE GO: once GO is there, one thread waits in munmap(2) for the file system of FILE, which does not answer, and another one
   behind it in mmap(2): whoever looks at this process's memory, or reads its environment, waits, too. Prints "up", and "stuck" before. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char *page;

static void *unmap(void *nothing) {
    munmap(page, 4096);
    return nothing;
}

static void *map(void *nothing) {
    for (;;) {
        void *one = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(one, 4096);
        usleep(1000);
    }
    return nothing;
}

int main(int count, char **words) {
    (void)count;
    int file = open(words[1], O_RDWR);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return 1;
    memset(page, 'x', 4096);
    puts("up");
    fflush(stdout);
    while (access(words[2], F_OK) != 0) usleep(2000);
    page[0] = 'y';
    puts("stuck");
    fflush(stdout);
    pthread_t one, other;
    pthread_create(&one, NULL, unmap, NULL);
    usleep(100000);
    pthread_create(&other, NULL, map, NULL);
    for (;;) pause();
}
