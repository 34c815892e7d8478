/* Calls that segue is asked about, as no program makes them: hostile WHAT [PORT]. Ends with 0 when it got what the kernel
 * itself would have said. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int port;

static struct sockaddr_in address(int number) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(number)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static void expect(const char *what, long got, int error) {
  int number = got == -1 ? errno : 0;
  if (number != error) {
    fprintf(stderr, "%s: %s instead of %s\n", what, strerror(number), strerror(error));
    exit(1);
  }
}

/* Pointers to nowhere, lengths without end, numbers of no file. */
static void pointers(void) {
  struct sockaddr_in a = address(port);
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(edge + 4096, 4096);
  expect("no address", syscall(SYS_bind, s, NULL, 16), EFAULT);
  expect("address 8", syscall(SYS_bind, s, 8L, 16), EFAULT);
  expect("kernel address", syscall(SYS_bind, s, 0xffff888000000000L, 16), EFAULT);
  expect("over the edge", syscall(SYS_bind, s, edge + 4096 - 8, 16), EFAULT);
  expect("huge length", syscall(SYS_bind, s, &a, 1L << 30), EINVAL);
  expect("negative length", syscall(SYS_bind, s, &a, -1), EINVAL);
  expect("short", syscall(SYS_bind, s, &a, 3), EINVAL);
  expect("no file", syscall(SYS_bind, 1000, &a, 16), EBADF);
  expect("negative file", syscall(SYS_bind, -1, &a, 16), EBADF);
  expect("no socket", syscall(SYS_bind, 2, &a, 16), ENOTSOCK);
  expect("listen on nothing", syscall(SYS_listen, 1000, 5), EBADF);
  expect("option from nowhere", setsockopt(s, SOL_SOCKET, SO_REUSEPORT, (void *)8, 4), EFAULT);
  expect("option of no length", setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, 0), EINVAL);
  expect("option of huge length", setsockopt(s, SOL_SOCKET, SO_RCVBUF, &one, 1 << 30), 0);
  expect("option of a file", setsockopt(2, SOL_SOCKET, SO_REUSEPORT, &one, 4), ENOTSOCK);
  struct sockaddr_in six = a;
  six.sin_family = AF_INET6;
  expect("another family", bind(s, (void *)&six, sizeof six), EAFNOSUPPORT);
  expect("a good one after all", bind(s, (void *)&a, sizeof a), 0);
  expect("and listen", listen(s, -1), 0);
}

/* So many binds as can be made in two seconds: the same port, and ever new ones. */
static void storm(void) {
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  long count = 0;
  do {
    struct sockaddr_in a = address(count % 2 ? port : 20000 + (int)(count % 5000));
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(s, (void *)&a, sizeof a) == 0 && count % 3 == 0) listen(s, 5);
    close(s);
    count++;
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - begin.tv_sec < 2);
  printf("%ld\n", count);
}

static void *one_bind(void *unused) {
  (void)unused;
  struct sockaddr_in a = address(port);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  bind(s, (void *)&a, sizeof a);
  return NULL;
}

/* Processes that are killed while they wait for an answer. */
static void deaths(void) {
  for (int i = 0; i < 400; i++) {
    pid_t child = fork();
    if (child == 0) {
      pthread_t threads[4];
      for (int t = 0; t < 4; t++) pthread_create(&threads[t], NULL, one_bind, NULL);
      pause();
    }
    usleep(i * 5);
    kill(child, 9);
    waitpid(child, NULL, 0);
  }
}

int main(int count, char **words) {
  port = count > 2 ? atoi(words[2]) : 0;
  const char *what = count > 1 ? words[1] : "";
  if (!strcmp(what, "pointers")) pointers();
  else if (!strcmp(what, "storm")) storm();
  else if (!strcmp(what, "deaths")) deaths();
  else return 2;
  return 0;
}
