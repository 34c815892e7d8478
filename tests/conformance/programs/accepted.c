/* Prints every option of a socket in another process: accepted PROCESS NUMBER. */
#define _GNU_SOURCE
#include "options.h"

#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
  if (count < 3) return 2;
  int process = syscall(SYS_pidfd_open, atoi(words[1]), 0);
  int fd = syscall(SYS_pidfd_getfd, process, atoi(words[2]), 0);
  if (fd < 0) {
    perror("pidfd_getfd");
    return 1;
  }
  for (int i = 0; i < READABLE; i++) {
    char value[80] = "?";
    get_option(fd, &OPTIONS[i], value, sizeof value);
    /* Which processor it came in on is luck. */
    if (strcmp(OPTIONS[i].name, "SO_INCOMING_CPU")) printf("%s=%s\n", OPTIONS[i].name, value);
  }
  (void)set_option;
  (void)option_of;
  return 0;
}
