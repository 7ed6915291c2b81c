#pragma once
// A mutex that clang's thread-safety analysis can follow (./dev lint tidy): what it guards is declared CULVERT_GUARDED_BY(mutex), and code that
// touches that without a Lock does not pass. Other compilers see std::mutex.

#include <mutex>

#ifdef __clang__
#define CULVERT_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define CULVERT_THREAD_SAFETY(attribute)
#endif
#define CULVERT_GUARDED_BY(mutex) CULVERT_THREAD_SAFETY(guarded_by(mutex))
#define CULVERT_REQUIRES(mutex) CULVERT_THREAD_SAFETY(requires_capability(mutex))

namespace culvert {

class CULVERT_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  void lock() CULVERT_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void unlock() CULVERT_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Held for as long as it lives.
class CULVERT_THREAD_SAFETY(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) CULVERT_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() CULVERT_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace culvert
