/* Makes so many orphans, one after the other, each dead at once; then waits. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
    int number = count > 1 ? atoi(words[1]) : 0;
    while (number > 0) {
        pid_t parent = fork();
        if (parent < 0) {
            usleep(1000);
            continue;
        }
        if (parent == 0) {
            fork();
            _exit(0);
        }
        waitpid(parent, NULL, 0);
        number--;
    }
    puts("done");
    fflush(stdout);
    pause();
}
