//Numpy array shape [2]
//Min 0.218750000000
//Max 0.625000000000
//Number of zeros 0

#ifndef B4_H_
#define B4_H_

#ifndef __SYNTHESIS__
_2_bias_t b4[2];
#else
_2_bias_t b4[2] = {0.62500, 0.21875};

#endif

#endif
