//Numpy array shape [3]
//Min -0.437500000000
//Max -0.125000000000
//Number of zeros 0

#ifndef B2_H_
#define B2_H_

#ifndef __SYNTHESIS__
_0_bias_t b2[3];
#else
_0_bias_t b2[3] = {-0.12500, -0.28125, -0.43750};

#endif

#endif
